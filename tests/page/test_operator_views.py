"""All the operators' views: accessible, still, in light and dark; and without a button for those who only look."""

import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from playwright.sync_api import expect

from tests.page.looks import Look
from tests.page.operating import SAY, calling, ended, submitted
from tests.sink import Answer, Sink

VIEWS = ("overview", "queues", "pools", "workers", "jobs", "dead-letters", "schedules", "webhooks", "audit")
SHOT = ("overview", "queues", "pools", "workers", "audit")  # the others are shot where something happens in them
ACTS = re.compile(
    r"pause|resume|replay|trigger|redeliver|retry|cancel|delete|run again|run all|send a test|enable", re.IGNORECASE
)


@pytest.fixture
def places(client: httpx2.Client, third_party: Sink) -> Iterator[list[str]]:
    """Every view, those of one job, one schedule and one webhook included, with something to be seen in each."""
    third_party.answers = [Answer(status=418)]
    failed = submitted(client, calling(third_party.url))
    ended(client, failed, "failed")
    schedule = _made(client, "/v1/schedules", {"every": 3600, "job": SAY})
    webhook = _made(client, "/v1/webhooks", {"url": f"{third_party.url}/views", "events": ["job.failed"]})
    ended(client, submitted(client, calling(third_party.url)), "failed")
    one = [f"jobs/{failed}?tab=timeline", f"schedules/{schedule['id']}", f"webhooks/{webhook['id']}"]
    yield [f"#/{place}" for place in (*VIEWS, *one)]
    client.delete(f"/v1/webhooks/{webhook['id']}")


def test_every_view_is_accessible_and_stands_still(look: Look, places: list[str]) -> None:
    moved = 0.0
    for place in places:
        look.open(place)
        expect(look.page.get_by_role("status", name="Loading")).to_have_count(0)
        look.axe()
        if place.removeprefix("#/") in SHOT:
            look.shot(place.removeprefix("#/"))
        if place != "#/overview":  # its causes come and go
            assert look.shift() == moved, (place, look.shifted())
        assert look.narrow() == [], place
        moved = look.shift()  # not by itself, but as the window changed


def test_who_only_looks_sees_everything_and_has_no_buttons_to_act(watcher: Look, places: list[str]) -> None:
    for place in places:
        watcher.open(place)
        expect(watcher.page.get_by_role("status", name="Loading")).to_have_count(0)
        expect(watcher.page.get_by_role("alert")).to_have_count(0)
        expect(watcher.page.get_by_role("main").get_by_role("button", name=ACTS)).to_have_count(0)


def test_the_overview_has_the_figures_of_the_whole_platform(look: Look) -> None:
    look.open("#/overview")
    page = look.page
    for name, least in (("Queues", 5), ("Pools", 5), ("Workers", 5)):
        rows = page.get_by_role("table", name=name, exact=True).get_by_role("row")
        expect(rows.nth(least - 1)).to_be_visible()
    expect(page.get_by_text("database")).to_be_visible()


def _made(client: httpx2.Client, path: str, document: dict[str, Any]) -> Any:
    answer = client.post(path, json=document)
    assert answer.status_code == 201, answer.text
    return answer.json()
