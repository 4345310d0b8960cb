"""Files of tenants come from the host of our pages: a browser runs none of them, whatever type was told of it."""

import pytest

from api.safe_files import safe_type
from tests.api.conftest import Api

RUN = ["text/javascript", "Application/JavaScript; charset=utf-8", "text/javascript1.5", "application/x-ecmascript"]


@pytest.mark.parametrize("told", [*RUN, "text/jscript", "text/livescript", "text/css", " text/css "])
def test_what_browsers_would_run_or_style_a_page_by_has_no_such_type(told: str) -> None:
    assert safe_type(told) == "application/octet-stream"


@pytest.mark.parametrize("told", ["image/webp", "text/html", "text/csv; charset=utf-8", "application/json"])
def test_other_files_keep_the_type_that_was_told(told: str) -> None:
    assert safe_type(told) == told


def test_a_script_that_was_sent_is_answered_as_mere_bytes(api: Api) -> None:
    script, kind = b"document.title = 'taken'", "text/javascript"
    headers = {"Authorization": f"Bearer {api.acme.key}", "Content-Type": kind}
    sent = api.acme.http.post("/v1/uploads", content=script, headers=headers).json()
    document = ("job", '{"steps": {"say": {"kind": "echo"}}}', "application/json")
    job = api.acme.post(files={"job": document, "file": ("a.js", script, kind)}).json()
    for path in (f"/v1/uploads/{sent['id']}/content", f"/v1/jobs/{job['id']}/input"):
        answer = api.acme.get(path)
        assert answer.content == script
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["x-content-type-options"] == "nosniff"
