"""Schedules: when they fire next, firing one now, pausing and resuming it."""

import httpx2
from playwright.sync_api import expect

from tests.page.looks import Look
from tests.page.operating import SAY


def test_a_schedule_is_triggered_paused_and_resumed(look: Look, client: httpx2.Client) -> None:
    page = look.page
    nightly = {"name": "nightly", "cron": "0 3 * * *", "timezone": "Europe/Berlin", "job": SAY}
    made = client.post("/v1/schedules", json=nightly)
    assert made.status_code == 201, made.text
    look.open("#/schedules")
    row = page.get_by_role("row").filter(has_text="nightly")
    expect(row).to_contain_text("At 03:00 every day, in Europe/Berlin")
    expect(row).to_contain_text("in ")
    row.get_by_role("button", name="Trigger nightly").click()
    page.get_by_role("dialog").get_by_role("button", name="Trigger", exact=True).click()
    expect(page.get_by_text("nightly: it fired: its job has started")).to_be_visible()
    row.get_by_role("button", name="Pause nightly").click()
    page.get_by_role("button", name="Pause the schedule").click()
    expect(row).to_contain_text("paused")
    look.shot("schedules")
    row.get_by_role("button", name="Resume nightly").click()
    expect(row).to_contain_text("active")
    row.get_by_role("link", name="nightly").click()
    firing = page.get_by_role("table", name="Firings").get_by_role("row").nth(1)
    expect(firing).to_contain_text("trigger")
    expect(firing).to_contain_text("succeeded")
    nexts = page.get_by_role("listitem").filter(has_text="03:00:00")
    expect(nexts).to_have_count(6)
    look.shot("schedule")
    page.get_by_label("Outcome").select_option("skipped")
    expect(page.get_by_text("None in the last 30 days that was skipped.")).to_be_visible()
    page.get_by_label("Outcome").select_option("started")
    firing.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("say")


def test_earlier_firings_follow_on_demand(look: Look, client: httpx2.Client) -> None:
    made = client.post("/v1/schedules", json={"name": "often", "every": 3600, "overlap": "allow", "job": SAY}).json()
    for _ in range(51):  # one more than a page
        assert client.post(f"/v1/schedules/{made['id']}/trigger").status_code == 202
    look.open(f"#/schedules/{made['id']}")
    firings = look.page.get_by_role("table", name="Firings")
    expect(firings).to_have_attribute("aria-rowcount", "51")
    look.page.get_by_role("button", name="Show earlier firings").click()
    expect(firings).to_have_attribute("aria-rowcount", "52")
    assert client.delete(f"/v1/schedules/{made['id']}").status_code == 204
