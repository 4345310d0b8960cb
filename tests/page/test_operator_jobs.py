"""Jobs are filtered, walked through by keys, and, for operators, another tenant's are seen."""

from collections.abc import Callable

import httpx2
from playwright.sync_api import expect

from storage.database import Database
from tests.page.looks import Look
from tests.page.operating import calling, ended, many, submitted
from tests.sink import Answer, Sink

CROWD = 150


def test_another_tenants_jobs_are_seen_page_after_page_and_walked_through_by_keys(look: Look, rows: Database) -> None:
    page = look.page
    many(rows, "crowd", CROWD)
    look.open("#/jobs")
    page.get_by_label("Tenant").select_option("crowd")
    expect(page.get_by_text("You see the tenant crowd")).to_be_visible()
    table = page.get_by_role("table", name="Jobs, newest first")
    expect(table).to_have_attribute("aria-rowcount", "101")
    page.keyboard.press("End")
    expect(table).to_have_attribute("aria-rowcount", str(CROWD + 1))
    page.keyboard.press("Home")
    expect(table.get_by_role("row").nth(1)).to_have_attribute("aria-rowindex", "2")  # the first is drawn again
    table.get_by_role("row").nth(1).get_by_role("link").focus()
    page.keyboard.press("ArrowDown")
    expect(table.get_by_role("row").nth(2).get_by_role("link")).to_be_focused()
    look.shot("jobs", whole=False)
    page.keyboard.press("Enter")
    page.wait_for_url("**/#/jobs/job_*")
    look.expected.add(404)
    page.get_by_role("button", name="Back to your own").click()
    expect(page.get_by_text("There is no such job")).to_be_visible()


def test_jobs_are_filtered_by_state_kind_and_age(look: Look, client: httpx2.Client, third_party: Sink) -> None:
    page = look.page
    third_party.answers = [Answer(status=418)]
    failed = submitted(client, calling(third_party.url))
    ended(client, failed, "failed")
    look.open("#/jobs?state=failed&kind=http.call&age=3600")
    table = page.get_by_role("table", name="Jobs, newest first")
    expect(table.get_by_title(failed)).to_be_visible()
    page.get_by_label("Kind").select_option("image.info")
    expect(page.get_by_text("No such jobs")).to_be_visible()
    page.get_by_label("Kind").select_option("http.call")
    page.get_by_label("Age").select_option("Older than a day")
    expect(page.get_by_text("No such jobs")).to_be_visible()
    page.get_by_role("button", name="Clear").click()
    expect(table.get_by_title(failed)).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.insert_text(failed)
    page.wait_for_url(f"**/#/jobs/{failed}")


def test_an_own_key_sees_no_tenants_but_its_own(developer: Look, make_key: Callable[..., str]) -> None:
    make_key("jobs:read", tenant="crowd")
    developer.open("#/jobs")
    expect(developer.page.get_by_label("State")).to_be_visible()
    expect(developer.page.get_by_label("Tenant")).to_have_count(0)
