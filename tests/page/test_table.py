"""A thousand jobs in one list: it scrolls smoothly, since only those near what is seen are in the document."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import BrowserContext, expect
from sqlalchemy import text

from deploy.local.stack import Running
from storage.database import Database
from storage.model import new_job_id
from tests.page.conftest import looking
from tests.page.looks import Look

JOBS = 1000
MOST_ROWS = 80  # in the document at once: a window of 860 pixels shows 24

COPIES = """
INSERT INTO jobs
SELECT copy.* FROM jobs, unnest(CAST(:ids AS text[])) AS fresh(id),
  jsonb_populate_record(NULL::jobs, to_jsonb(jobs) || jsonb_build_object('id', fresh.id)) AS copy
WHERE jobs.id = :id
"""

# From the top to the bottom, some rows at a time: how many there were at most, and where there was none to be seen.
SCROLL = """
async (step) => {
  const frame = () => new Promise(requestAnimationFrame);
  const holes = [];
  let most = 0;
  for (let at = 0; at <= document.documentElement.scrollHeight - innerHeight; at += step) {
    scrollTo(0, at);
    await frame();
    await frame();
    most = Math.max(most, document.querySelectorAll("tbody tr:not(.space)").length);
    if (!document.elementFromPoint(innerWidth / 2, innerHeight / 2)?.closest("tr:not(.space)")) holes.push(at);
  }
  return { most, holes };
}
"""


@pytest.fixture(scope="module")
def many_key(platform: Running, make_key: Callable[..., str], rows: Database) -> str:
    """The key of a tenant with a thousand jobs that have ended: copies of one."""
    key = make_key("jobs:read", "jobs:write", tenant="many")
    with httpx2.Client(base_url=platform.api, headers={"Authorization": f"Bearer {key}"}, timeout=70) as client:
        made = client.post("/v1/jobs", json={"steps": {"say": {"kind": "echo"}}}).json()["id"]
        assert client.get(f"/v1/jobs/{made}?wait=30").json()["state"] == "succeeded"
    with rows.platform() as tx:
        tx.execute(text(COPIES), {"ids": [new_job_id() for _ in range(JOBS - 1)], "id": made})
    return key


@pytest.fixture
def many(signed_in: Callable[[str], BrowserContext], many_key: str, pictures_folder: Path) -> Iterator[Look]:
    yield from looking(signed_in(many_key), pictures_folder, start=True)


@pytest.mark.timeout(300)  # 3 s alone; once more than 120 s, beside all other tests on two cores
def test_a_thousand_jobs_scroll_with_a_window_of_rows_and_nothing_moves(many: Look) -> None:
    page = many.page
    many.open("#/jobs")
    table = page.locator("main table")
    expect(table).to_be_visible()
    before = many.shift()
    for _ in range(JOBS // 100):  # as one comes near the end, the next hundred is fetched
        shown = str(table.get_attribute("aria-rowcount"))
        if shown == str(JOBS + 1):
            break
        page.evaluate("() => scrollTo(0, document.documentElement.scrollHeight)")
        expect(table).not_to_have_attribute("aria-rowcount", shown)
    expect(table).to_have_attribute("aria-rowcount", str(JOBS + 1))
    seen = page.evaluate(SCROLL, 1200)
    assert seen["most"] <= MOST_ROWS
    assert seen["holes"] == []
    assert many.shift() == before, many.shifted()
    many.shot("jobs-many", whole=False)


def test_the_heads_stay_in_sight_and_arrow_keys_go_from_row_to_row(many: Look) -> None:
    page = many.page
    many.open("#/jobs")
    links = page.locator("main tbody a")
    links.first.focus()
    for _ in range(40):
        page.keyboard.press("ArrowDown")
    at = page.evaluate("() => Number(document.activeElement.closest('tr').getAttribute('aria-rowindex'))")
    assert at == 42  # the heads are the first row
    assert page.evaluate("() => scrollY") > 0
    head, row = page.locator("main thead th").first.bounding_box(), page.locator("tr:has(:focus)").bounding_box()
    assert head
    assert row
    assert head["y"] >= 0
    assert row["y"] >= head["y"] + head["height"]
    page.keyboard.press("Enter")
    expect(page.get_by_role("table", name="Steps")).to_be_visible()


def test_a_job_that_comes_meanwhile_is_on_top_without_a_question(many: Look, platform: Running, many_key: str) -> None:
    many.open("#/jobs")
    top = many.page.locator("main tbody tr").first
    expect(top).to_be_visible()
    with httpx2.Client(base_url=platform.api, headers={"Authorization": f"Bearer {many_key}"}) as client:
        made = client.post("/v1/jobs", json={"steps": {"new": {"kind": "echo"}}}).json()["id"]
    expect(top.get_by_role("link")).to_have_attribute("href", f"#/jobs/{made}")
    expect(top).to_contain_text("succeeded")
