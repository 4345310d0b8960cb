"""A list of jobs of a rare kind, whose first pages may be empty although others follow."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
from playwright.sync_api import Route, expect

from tests.page.looks import TWO_FRAMES, Look
from tests.page.operating import SAY, ended, submitted


def test_what_was_found_further_down_stays_when_the_first_page_is_asked_for_again(
    look: Look, client: httpx2.Client
) -> None:
    job = submitted(client, SAY)
    ended(client, job, "succeeded")
    (found,) = [one for one in client.get("/v1/jobs?limit=100").json()["data"] if one["id"] == job]
    first, second = "job_7zzzzzzzzz" + "z" * 16, "job_7yyyyyyyyy" + "y" * 16
    pages: dict[str, Any] = {
        "": {"data": [], "next_cursor": first},
        first: {"data": [], "next_cursor": second},
        second: {"data": [found], "next_cursor": None},
    }
    asked: list[str] = []

    def answer(route: Route) -> None:
        cursor = parse_qs(urlsplit(route.request.url).query).get("cursor", [""])[0]
        asked.append(cursor)
        route.fulfill(status=200, content_type="application/json", body=json.dumps(pages[cursor]))

    look.page.route("**/v1/jobs?*", answer)
    look.open("#/jobs?kind=echo")
    row = look.page.locator("main tbody tr", has=look.page.get_by_role("link"))
    expect(row).to_have_count(1)
    row.evaluate("(row) => { row.seen = true; }")
    for _ in range(2):
        with look.page.expect_response(lambda told: "/v1/jobs?" in told.url and "cursor" not in told.url):
            pass
        look.page.evaluate(TWO_FRAMES)
    assert asked.count("") >= 3
    assert row.evaluate("(row) => row.seen ?? false")  # it is the same row still, and was never gone
    expect(row).to_contain_text("echo")  # what it does stands in the list
