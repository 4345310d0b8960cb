"""A job that has failed for good is among the dead letters, is replayed from there, and is then done."""

import re

import httpx2
from playwright.sync_api import expect

from tests.page.looks import Look
from tests.page.operating import calling, ended, submitted
from tests.sink import Answer, Sink


def test_a_dead_letter_is_replayed_and_done(look: Look, client: httpx2.Client, third_party: Sink) -> None:
    page = look.page
    third_party.answers = [Answer(status=418)]
    jobs = [submitted(client, calling(third_party.url)) for _ in range(2)]
    failed = [ended(client, job, "failed") for job in jobs]
    code = failed[0]["steps"]["crm"]["error"]["code"]
    look.open("#/dead-letters")
    row = page.get_by_role("row").filter(has_text=code)
    expect(row).to_contain_text("http.call")
    page.keyboard.press("/")
    page.keyboard.type("no such reason")
    expect(page.get_by_text("No such reason", exact=True)).to_be_visible()
    page.get_by_role("searchbox").fill(code)
    look.shot("dead-letters")
    row.get_by_role("button", name="Replay").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Percent").fill("200")
    expect(dialog.get_by_role("button", name="Replay", exact=True)).to_be_disabled()
    dialog.get_by_label("Percent").fill("50")
    expect(dialog).to_contain_text("At most 1 of 2 run again")
    look.axe()
    third_party.answers = [Answer()]
    dialog.get_by_role("button", name="Replay 1 job").click()
    expect(page.get_by_text("1 of 2 jobs run again")).to_be_visible()
    expect(row.get_by_role("cell").nth(2)).to_have_text("1")
    row.get_by_role("button", name="Replay").click()
    dialog.get_by_role("button", name="Replay 1 job").click()
    expect(row).to_have_count(0)
    for job in jobs:
        assert [one["outcome"] for one in ended(client, job, "succeeded")["steps"]["crm"]["attempts"]] == [
            "failed",
            "succeeded",
        ]
    look.open(f"#/jobs/{jobs[0]}?tab=timeline")
    expect(page.get_by_role("button", name=re.compile("crm, attempt 2 succeeded"))).to_be_visible()
