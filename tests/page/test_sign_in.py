"""Who comes in, stays in, and is sent back to the door."""

from collections.abc import Callable

import httpx2
from playwright.sync_api import expect

from deploy.local.stack import Running
from storage import tenants
from storage.database import Database
from tests.page.looks import Look


def test_a_wrong_key_is_refused_at_its_field(visitor: Look) -> None:
    visitor.expected.add(401)
    visitor.page.goto("/")
    field = visitor.page.get_by_label("API key")
    expect(field).to_be_focused()
    field.fill("mk_nobody")
    field.press("Enter")
    expect(visitor.page.get_by_role("alert")).to_have_text("This key is unknown or revoked.")
    expect(field).to_have_attribute("aria-invalid", "true")
    visitor.shot("sign-in-refused")
    visitor.axe()
    assert visitor.narrow() == []


def test_the_key_is_kept_nowhere_in_the_browser(developer: Look, developer_key: str) -> None:
    kept = developer.page.evaluate(
        "() => JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, document.body.innerHTML])"
    )
    assert developer_key not in kept
    assert "millrace_session" not in kept  # no script can read the cookie
    (cookie,) = [one for one in developer.context.cookies() if one["name"] == "millrace_session"]
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")


def test_a_sign_in_outlives_the_page_and_ends_with_a_sign_out(visitor: Look, developer_key: str) -> None:
    visitor.sign_in(developer_key)
    page = visitor.page
    page.reload()
    expect(page.get_by_role("heading", name="New job")).to_be_visible()
    expect(page.locator(".who")).to_contain_text("page")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    page.reload()
    expect(page.get_by_label("API key")).to_be_visible()


def test_an_ended_session_leads_to_the_door_and_from_there_back_to_where_one_was(
    visitor: Look, make_key: Callable[..., str], platform: Running
) -> None:
    key, page = make_key("jobs:read", "jobs:write", tenant="expiring"), visitor.page
    visitor.sign_in(key)
    visitor.open("#/jobs?state=failed")
    visitor.expected.add(401)
    with httpx2.Client(base_url=platform.api, headers={"Authorization": f"Bearer {key}"}) as elsewhere:
        assert elsewhere.delete("/v1/sessions").status_code == 204
    expect(page.get_by_text("Your session has ended.")).to_be_visible()  # the view's next question is refused
    visitor.shot("sign-in-ended")
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Jobs", level=1)).to_be_visible()
    assert page.url.endswith("#/jobs?state=failed")


def test_a_revoked_key_ends_its_sessions(visitor: Look, make_key: Callable[..., str], rows: Database) -> None:
    visitor.sign_in(make_key("jobs:read", tenant="revoked"))
    visitor.open("#/jobs")
    visitor.expected.add(401)
    with rows.platform() as tx:
        (found,) = tenants.keys_of(tx, "revoked")
        assert tenants.revoke_key(tx, found[0])
    expect(visitor.page.get_by_label("API key")).to_be_visible()


def test_what_a_key_may_not_see_is_not_offered(developer: Look) -> None:
    page = developer.page
    expect(page.get_by_role("link", name="Jobs", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="Queues")).to_have_count(0)
    page.evaluate("location.hash = '#/queues'")
    expect(page.get_by_text("Your key may not see this")).to_be_visible()


def test_light_and_dark_follow_the_system_until_one_is_chosen(visitor: Look, developer_key: str) -> None:
    visitor.sign_in(developer_key)
    page = visitor.page
    ground = "() => getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(ground)
    visitor.theme("dark")
    dark = page.evaluate(ground)
    assert light != dark
    page.get_by_role("button", name="Theme: system").click()
    assert page.evaluate(ground) == light  # chosen, though the system is dark
    page.reload()
    expect(page.get_by_role("button", name="Theme: light")).to_be_visible()
    expect(page.locator(":root")).to_have_attribute("data-theme", "light")
    assert page.evaluate(ground) == light


def test_an_unknown_place_says_so(developer: Look) -> None:
    developer.page.evaluate("location.hash = '#/nowhere'")
    expect(developer.page.get_by_text("There is no such view")).to_be_visible()


def test_the_keyboard_alone_leads_past_the_navigation_to_the_content(developer: Look) -> None:
    page = developer.page
    page.reload()
    expect(page.get_by_role("heading", name="New job")).to_be_visible()
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    assert page.url.endswith("#/new")
