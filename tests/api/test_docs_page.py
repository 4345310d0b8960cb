"""The page of the API's documentation."""

import re

import httpx2

from tests.api.conftest import Api


def test_the_docs_page_needs_nothing_from_elsewhere(api: Api) -> None:
    with httpx2.Client(base_url=api.url) as anybody:
        page = anybody.get("/docs")
        links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert len(links) >= 3
        assert not [link for link in links if "//" in link]
        assert {anybody.get(link).status_code for link in links} == {200}
        policy = page.headers["content-security-policy"]
        assert re.search(r"script-src 'nonce-[A-Za-z0-9_-]{24}';", policy)
        assert "frame-ancestors 'none'" in policy
        assert anybody.get("/static-offline-docs/nothing").headers["content-type"] == "application/problem+json"
