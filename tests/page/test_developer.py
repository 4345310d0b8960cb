"""What an app's developer does: photos in, pictures and findings out."""

import base64
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.page.looks import Look

TIMES = "\N{MULTIPLICATION SIGN}"
PICTURES = ("coffee.png", "rocket.jpg")
DROP = """
([names, contents]) => {
  const held = new DataTransfer();
  names.forEach((name, at) => {
    const bytes = Uint8Array.from(atob(contents[at]), (letter) => letter.charCodeAt(0));
    held.items.add(new File([bytes], name, { type: name.endsWith("png") ? "image/png" : "image/jpeg" }));
  });
  return held;
}
"""


def choose(page: Page, photos: Path, *names: str) -> None:
    page.locator("input[type=file]").set_input_files([photos / name for name in names])


def write_job(page: Page, document: Any) -> Locator:
    """Write the job's document, an object or a text; returns where."""
    page.get_by_role("tab", name="Job as JSON").click()
    area = page.get_by_role("textbox", name="Job as JSON")
    area.fill(document if isinstance(document, str) else json.dumps(document, indent=2))
    return area


def cards(page: Page) -> Locator:
    return page.locator(".sent")


def test_photos_become_finished_variants_without_anything_moving(developer: Look, photos: Path) -> None:
    page = developer.page
    choose(page, photos, *PICTURES)
    expect(page.locator(".photos li")).to_have_count(2)
    page.get_by_role("radio", name="thumbnails Three sizes").check()
    page.get_by_label("small", exact=True).fill("200")
    before = developer.shift()
    page.get_by_role("button", name="Send 2 photos").click()
    for name in PICTURES:
        card = cards(page).filter(has_text=name)
        expect(card).to_contain_text("succeeded")
        expect(card.locator(".sent-strip img")).to_have_count(3)
    assert developer.shift() == before, developer.shifted()
    developer.shot("new-job-sent")
    developer.axe()
    assert developer.narrow() == []
    page.get_by_role("link", name="rocket.jpg").first.click()
    small = page.locator(".variant").filter(has_text="small")
    expect(small).to_contain_text(f"200 {TIMES} 133 · WEBP")
    shown = small.locator("img")
    expect(shown).to_have_js_property("naturalWidth", 200)
    with page.expect_download() as saved:
        small.get_by_role("link", name="Download").click()
    assert saved.value.suggested_filename == "small.webp"
    developer.shot("job-variants")
    developer.axe()
    assert developer.narrow() == []


def test_steps_are_followed_by_events_as_they_run(developer: Look) -> None:
    page = developer.page
    steps = {"first": {"kind": "echo", "sleep_seconds": 1.5}, "second": {"kind": "echo", "use": ["first"]}}
    write_job(page, {"steps": steps})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    before = developer.shift()
    page.get_by_role("button", name="Send").click()
    card = cards(page).filter(has_text="first, second")
    expect(card).to_contain_text("running")
    card.get_by_role("link").click()
    rows = page.get_by_role("table", name="Steps").get_by_role("row")
    expect(rows.nth(1)).to_contain_text("running")
    expect(rows.nth(2)).to_contain_text("waits for first")
    expect(rows.nth(2)).to_contain_text("succeeded")
    assert [url for url in asked if url.endswith("/events")]
    assert developer.shift() == before, developer.shifted()


def test_what_was_found_is_drawn_on_the_picture_in_its_place(developer: Look, photos: Path) -> None:
    page = developer.page
    features = ["labels", "objects", "faces", "codes", "colors", "quality", "phash"]
    write_job(page, {"steps": {"look": {"kind": "image.analyze", "features": features}}})
    choose(page, photos, "astronaut.png")
    page.get_by_role("button", name="Send 1 photo").click()
    card = cards(page).filter(has_text="astronaut.png")
    expect(card).to_contain_text("1 face")
    with page.expect_response(lambda answer: "/v1/jobs/job_" in answer.url and answer.ok) as told:
        card.get_by_role("link").click()
    (face,) = told.value.json()["steps"]["look"]["result"]["faces"]
    figure = page.locator(".drawn")
    expect(figure.locator("img")).to_have_js_property("complete", True)
    around, box = figure.bounding_box(), page.locator(".box.face").bounding_box()
    assert around
    assert box
    for side, length, name in (("x", "width", "x"), ("y", "height", "y")):
        start = (box[side] - around[side]) / around[length]  # type: ignore[literal-required]
        assert start == pytest.approx(face["box"][name], abs=0.005)
        assert box[length] / around[length] == pytest.approx(face["box"][length], abs=0.005)  # type: ignore[literal-required]
    assert around["width"] == pytest.approx(around["height"], abs=1)  # as the picture is
    expect(page.locator(".palette li")).to_have_count(6)
    page.locator(".place").filter(has_text="face").hover()
    expect(page.locator(".box.face")).to_have_class("box face lit")
    developer.shot("job-analysis")
    page.mouse.move(0, 0)  # what is not looked at is dim meanwhile
    developer.axe()
    assert developer.narrow() == []


def test_flaws_of_a_document_stand_at_their_lines_and_nothing_is_lost(developer: Look, photos: Path) -> None:
    page = developer.page
    choose(page, photos, *PICTURES)
    variants = [{"name": "s", "widht": 320}]
    area = write_job(page, {"steps": {"thumbs": {"kind": "image.resize", "variants": variants}}})
    developer.expected.add(422)
    page.get_by_role("button", name="Send 2 photos").click()
    told = page.locator(".editor-flaws")
    expect(told).to_contain_text("/steps/thumbs/variants/0/widht")
    expect(told).to_contain_text("did you mean 'width'?")
    line = page.locator(".editor-lines .flawed")
    expect(line).to_have_text("8")
    mark, place = page.locator(".editor-mark").bounding_box(), line.bounding_box()
    assert mark
    assert place
    assert mark["y"] == pytest.approx(place["y"], abs=2)
    expect(page.locator(".photos li")).to_have_count(2)
    expect(cards(page)).to_have_count(0)
    developer.shot("new-job-flaws")
    developer.axe()
    assert developer.narrow() == []
    told.get_by_role("button", name="Line 8").click()
    expect(area).to_be_focused()
    area.fill(area.input_value().replace("widht", "width"))
    expect(told.locator("li")).to_have_count(0)


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ('{\n  "steps": {},\n}', "Line 3", "a comma too many"),
        ('{\n  "steps": {"a" 1}\n}', "Line 2", "a colon is missing"),
        ('{"steps": {\n', "Line 2", "here has to stand a name in double quotes"),
        ('{"a": 1,\n "a": 2}', "Line 2", '"a" stands here twice'),
        ('{"a": tru}', "Line 1", "here has to stand a value"),
    ],
)
def test_what_is_no_json_is_told_while_one_writes(developer: Look, text: str, line: str, why: str) -> None:
    page = developer.page
    write_job(page, text)
    told = page.locator(".editor-flaws li")
    expect(told).to_contain_text(line)
    expect(told).to_contain_text(why)
    expect(page.get_by_role("button", name="Send")).to_be_disabled()


def test_a_job_whose_answer_was_lost_is_sent_again_and_made_once(developer: Look, client: httpx2.Client) -> None:
    page = developer.page
    sent: list[str] = []

    def lose_the_first_answer(route: Route) -> None:
        if route.request.method != "POST":
            return route.fallback()
        sent.append(route.request.headers["idempotency-key"])
        if len(sent) > 1:
            return route.fallback()
        assert route.fetch().status == 202
        return route.abort()

    page.route("**/v1/jobs", lose_the_first_answer)
    developer.expected.add(0)
    write_job(page, {"steps": {"once": {"kind": "echo"}}})
    page.get_by_role("button", name="Send").click()
    expect(cards(page).filter(has_text="once")).to_contain_text("succeeded")
    assert len(sent) == 2
    assert len(set(sent)) == 1
    (newest, other) = client.get("/v1/jobs?limit=2").json()["data"]
    assert cards(page).get_by_role("link").first.get_attribute("href") == f"#/jobs/{newest['id']}"
    assert list(client.get(f"/v1/jobs/{other['id']}").json()["steps"]) != ["once"]


def test_photos_come_by_drop_and_by_paste_too(developer: Look, photos: Path) -> None:
    page = developer.page
    held = dropped(page, photos, *PICTURES)
    page.dispatch_event("main", "dragover", {"dataTransfer": held})
    expect(page.locator(".drop.over")).to_be_visible()
    page.dispatch_event("main", "drop", {"dataTransfer": held})
    expect(page.locator(".photos li")).to_have_count(2)
    page.evaluate(
        "(clipboardData) => document.body.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true }))",
        dropped(page, photos, "chelsea.png"),
    )
    expect(page.locator(".photos li")).to_have_count(3)
    page.get_by_role("button", name="Remove coffee.png").click()
    expect(page.locator(".photos li")).to_have_count(2)


def test_the_call_that_is_shown_does_the_same(developer: Look, photos: Path, developer_key: str) -> None:
    page = developer.page
    choose(page, photos, "rocket.jpg")
    page.get_by_role("radio", name="thumbnails Three sizes").check()
    page.get_by_label("quality", exact=True).fill("55")
    page.get_by_role("button", name="Copy shell command").click()
    copied = str(page.evaluate("() => navigator.clipboard.readText()"))
    assert '"with":{"quality":55}' in copied
    assert """-F 'file=@"rocket.jpg"'""" in copied
    page.get_by_role("tab", name="Python").click()
    program = page.get_by_role("region", name="Python program").inner_text()
    compile(program, "shown", "exec")
    assert 'overrides={"quality": 55}' in program


def test_a_value_that_a_template_does_not_take_is_said_at_its_field(developer: Look, photos: Path) -> None:
    page = developer.page
    choose(page, photos, "rocket.jpg")
    page.get_by_role("radio", name="thumbnails Three sizes").check()
    field = page.get_by_label("quality", exact=True)
    field.fill("much")
    expect(page.get_by_text("has to be a whole number from 1 to 100")).to_be_visible()
    expect(page.get_by_role("button", name="Send 1 photo")).to_be_disabled()
    field.fill("500")
    developer.expected.add(422)
    page.get_by_role("button", name="Send 1 photo").click()
    expect(page.locator(".field").filter(has=field).get_by_role("alert")).to_contain_text("100")


def test_why_a_job_failed_is_said_on_its_page_where_it_can_run_again(developer: Look, tmp_path: Path) -> None:
    page = developer.page
    letter = tmp_path / "letter.jpg"
    letter.write_text("Dear platform")
    page.locator("input[type=file]").set_input_files(letter)
    page.get_by_role("radio", name="thumbnails Three sizes").check()
    page.get_by_role("button", name="Send 1 photo").click()
    card = cards(page).filter(has_text="letter.jpg")
    expect(card).to_contain_text("failed")
    card.get_by_role("link").click()
    expect(page.get_by_role("alert")).to_contain_text("step 'thumbs' failed")
    developer.shot("job-failed")
    developer.axe()
    assert developer.narrow() == []
    page.get_by_role("button", name="Retry").click()
    step = page.get_by_role("table", name="Steps").get_by_role("row").nth(1).get_by_role("cell")
    expect(step.nth(3)).to_have_text("2")
    expect(step.nth(1)).to_have_text("failed")
    page.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog", name="Delete this job?")
    expect(dialog).to_be_visible()
    developer.axe()
    assert developer.narrow() == []
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("button", name="Delete")).to_be_focused()
    page.get_by_role("button", name="Delete").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Jobs", level=1)).to_be_visible()


def dropped(page: Page, photos: Path, *names: str) -> Any:
    """A handle of what a person would hold over the page, or have copied."""
    contents = [base64.b64encode((photos / name).read_bytes()).decode() for name in names]
    return page.evaluate_handle(DROP, [list(names), contents])
