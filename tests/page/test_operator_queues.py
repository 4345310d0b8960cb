"""Operators see the queues, stop one, and are told that this is why nothing goes on."""

import re

import httpx2
from playwright.sync_api import expect

from tests.page.looks import Look
from tests.page.operating import SAY, ended, submitted

SOON = 20_000  # milliseconds until a cause is named: the bar is 15 s


def test_a_queue_is_paused_named_as_the_cause_and_resumed(look: Look, client: httpx2.Client) -> None:
    page = look.page
    look.open("#/queues")
    row = page.get_by_role("row", name=re.compile("^default "))
    expect(row).to_contain_text("active")
    row.get_by_role("button", name="Pause default").click()
    page.get_by_role("button", name="Cancel").click()  # thought better of it
    expect(row).to_contain_text("active")
    row.get_by_role("button", name="Pause default").click()
    expect(page.get_by_role("dialog")).to_contain_text("Nothing new starts from it")
    page.get_by_role("button", name="Pause the queue").click()
    expect(row).to_contain_text("paused")
    try:
        job = submitted(client, SAY)
        expect(row.get_by_role("cell").nth(2)).to_have_text("1")  # runnable, counted exactly
        look.open("#/overview")
        cause = page.locator('[data-code="queue_paused"]')
        expect(cause).to_contain_text("default", timeout=SOON)
        look.shot("overview-paused")
        cause.get_by_role("link").click()
        row.get_by_role("button", name="Resume default").click()
        expect(row).to_contain_text("active")
    finally:
        client.post("/v1/queues/default/resume")
    ended(client, job, "succeeded")
    look.open("#/audit")
    done = page.get_by_role("table", name="Actions, newest first").get_by_role("row").filter(has_text="session")
    expect(done.nth(0)).to_contain_text("queue.resume")
    expect(done.nth(1)).to_contain_text("queue.pause")


def test_queues_by_priority_and_their_flow_are_told(look: Look, client: httpx2.Client) -> None:
    page = look.page
    look.open("#/queues")
    expect(page.get_by_role("img", name="default: in the last hour")).to_be_visible()
    page.get_by_role("switch", name="By priority").check()
    expect(page.get_by_role("table", name="Queues by priority").get_by_role("row")).to_have_count(13)


def test_what_is_there_stays_while_the_platform_does_not_answer(look: Look) -> None:
    page = look.page
    look.open("#/queues")
    row = page.get_by_role("row", name=re.compile("^default "))
    expect(row).to_be_visible()
    look.expected.add(503)
    away = '{"code": "database_unavailable", "detail": "the platform\'s database does not answer; try again soon"}'
    page.route("**/v1/queues", lambda route: route.fulfill(status=503, body=away))
    problem = page.get_by_role("alert")
    expect(problem).to_contain_text("database does not answer")
    expect(row).to_be_visible()
    page.unroute("**/v1/queues")
    problem.get_by_role("button", name="Try again").click()
    expect(problem).to_have_count(0)


SEEN = """(seen) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => !seen });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_a_tab_that_nobody_sees_asks_for_nothing(visitor: Look, operator_key: str) -> None:
    page = visitor.page
    page.clock.install()
    visitor.sign_in(operator_key)
    visitor.open("#/queues")
    expect(page.get_by_role("row", name=re.compile("^default "))).to_be_visible()
    page.evaluate(SEEN, False)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/v1/" in request.url else None)
    for _ in range(8):
        page.clock.run_for(10_000)
        page.evaluate("() => fetch('livez')")  # meanwhile what was under way is answered
    assert asked == []
    with page.expect_request("**/v1/queues"):
        page.evaluate(SEEN, True)
