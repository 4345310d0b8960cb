"""The timeline of a job: every attempt a bar where it stands, its error, its lines."""

import re

import httpx2
from playwright.sync_api import Route, expect

from tests.page.looks import Look
from tests.page.operating import calling, ended, submitted
from tests.sink import Answer, Sink

FLOWER = "https://flower.example/ops"


def with_flower(route: Route) -> None:
    """The session's document as a platform gives it that knows where its Flower is."""
    answer = route.fetch()
    route.fulfill(response=answer, json=answer.json() | {"flower_url": FLOWER})


def test_each_attempt_is_a_bar_with_its_error_and_its_lines(
    look: Look, client: httpx2.Client, third_party: Sink
) -> None:
    page = look.page
    page.route("**/v1/session*", with_flower)
    page.reload()
    third_party.answers = [Answer(status=503), Answer()]
    job = submitted(client, calling(third_party.url, max_attempts=3))
    ended(client, job, "succeeded")
    look.open(f"#/jobs/{job}?tab=timeline")
    first = page.get_by_role("button", name=re.compile("crm, attempt 1 failed, and was to be tried again"))
    expect(page.get_by_role("button", name=re.compile("crm, attempt 2 succeeded"))).to_be_visible()
    lines = page.get_by_role("list", name="Log lines, oldest first").get_by_role("listitem")
    expect(lines.filter(has_text=re.compile("step.(succeeded|retrying)"))).to_have_count(2)
    first.focus()
    page.keyboard.press("Enter")
    chosen = page.get_by_role("region", name="Attempt 1 of crm")
    expect(chosen).to_contain_text("503")
    expect(chosen).to_contain_text("worker")
    expect(lines.first).to_contain_text("crm #1")
    expect(lines.filter(has_not_text="crm #1")).to_have_count(0)
    task = client.get(f"/v1/jobs/{job}").json()["steps"]["crm"]["id"]
    expect(page.get_by_role("link", name="Flower task of crm")).to_have_attribute("href", f"{FLOWER}/task/{task}")
    look.axe()
    look.shot("job-timeline")
    page.get_by_role("button", name="Show all attempts").click()
    expect(lines.filter(has_text="crm #2").first).to_be_visible()
