"""What a browser lets our pages load: what this answer names, and no file of a tenant, although it is on this host."""

from playwright.sync_api import APIResponse, expect

from deploy.local.stack import Running
from tests.page.looks import Look

SCRIPT = "window.taken = true; document.title = 'taken'"
STYLE = "body { display: none }"

# Puts an element that loads the address into the page, as who can write into it would: what the browser makes of it.
LOADED = """
([name, attributes]) => new Promise((done) => {
  const page = document.querySelector("script[type=module]");
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made[key] = value === "of the page" ? page.nonce : value;
  made.onload = () => done("loaded");
  made.onerror = () => done("refused");
  document.head.append(made);
})
"""


def sent(look: Look, content: str, kind: str) -> str:
    """The path of a file that the tenant has uploaded."""
    token = look.context.request.get("/v1/session").json()["csrf"]
    answer: APIResponse = look.context.request.post(
        "/v1/uploads", data=content, headers={"Content-Type": kind, "X-CSRF-Token": token}
    )
    return f"/v1/uploads/{answer.json()['id']}/content"


def test_no_file_of_a_tenant_runs_in_the_page_or_styles_it(developer: Look) -> None:
    script, style = sent(developer, SCRIPT, "text/javascript"), sent(developer, STYLE, "text/css")
    elements = [("script", {"src": script}), ("link", {"rel": "stylesheet", "href": style})]
    for name, attributes in elements:
        assert developer.page.evaluate(LOADED, [name, attributes]) == "refused"
        # Nor with the page's own number: they are no scripts and no styles to a browser.
        assert developer.page.evaluate(LOADED, [name, {**attributes, "nonce": "of the page"}]) == "refused"
    assert developer.page.evaluate("() => window.taken ?? null") is None
    expect(developer.page.get_by_role("heading", name="New job")).to_be_visible()
    told = " ".join(developer.complaints)
    assert "violates the following Content Security Policy directive" in told
    assert "MIME type ('application/octet-stream')" in told
    developer.complaints.clear()


def test_the_documentation_of_the_api_works_and_is_shown_in_no_frame(visitor: Look, platform: Running) -> None:
    page = visitor.page
    page.goto("/docs")
    operation = page.get_by_role("button", name="post /v1/jobs", exact=True)
    expect(operation).to_be_visible()
    operation.click()
    expect(page.get_by_role("button", name="Try it out")).to_be_visible()
    assert visitor.complaints == []
    page.goto("/livez")  # whose answer has no policy of its own
    page.set_content(f'<iframe src="{platform.api}/docs"></iframe>')
    page.wait_for_function("() => frames.length && document.querySelector('iframe').contentDocument === null")
    expect(page.frame_locator("iframe").get_by_role("button", name="post /v1/jobs")).to_have_count(0)
    assert "frame-ancestors" in " ".join(visitor.complaints)
    visitor.complaints.clear()
