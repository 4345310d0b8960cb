"""What a test does with the page: sign in, open a view, take pictures, measure."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect
from playwright.sync_api import TimeoutError as NotInTime

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
STANDING = 'main[data-ready]:not([data-ready="/"])'  # "/" only leads on to another view
THEMES = ("light", "dark")
AXE_OPTIONS: Mapping[str, Any] = {
    "light": {"resultTypes": ["violations"]},
    "dark": {"resultTypes": ["violations"], "runOnly": ["color-contrast"]},  # nothing else differs
}
REACHED: Mapping[str, Any] = {"resultTypes": ["violations"], "runOnly": ["scrollable-region-focusable"]}
WIDTH, HEIGHT, TALLEST = 1280, 860, 4000  # pixels
SMALL = (390, 1010)  # pixels, the widths of a common phone and of a tablet
WAIT = 60_000  # milliseconds: what is there sooner is waited for no longer

# Before anything of the page runs: what moves by itself is added up, and what the policy forbids is said aloud.
WATCH = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    const moved = entry.sources.map(({ node }) => node?.className || node?.nodeName);
    if (!entry.hadRecentInput) window.shifts.push([entry.value, moved]);
  }
}).observe({ type: "layout-shift", buffered: true });
addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
  console.error("policy: " + violatedDirective + " " + blockedURI));
"""

OUTSIDE = """() => {
  const may = ({ overflowX, textOverflow }) => /auto|scroll/.test(overflowX) || textOverflow === "ellipsis";
  const scrolls = (node) => node && (may(getComputedStyle(node)) || scrolls(node.parentElement));
  const leaves = ({ left, right, width }) => width > 1 && (left < -1 || right > innerWidth + 1);
  const wide = [...document.querySelectorAll("body *")].filter(
    (node) => leaves(node.getBoundingClientRect()) && !scrolls(node.parentElement));
  if (document.documentElement.scrollWidth > innerWidth)  // and by what: it may be words too long for their box
    wide.push(document.documentElement, ...[...document.querySelectorAll("main *")].filter(
      (node) => node.clientWidth && node.scrollWidth > node.clientWidth + 1 && !scrolls(node)));
  return wide.map((node) => `${node.tagName}.${node.className} ${Math.round(node.getBoundingClientRect().right)}`);
}"""

expect.set_options(timeout=WAIT)

TWO_FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def new_context(browser: Browser, api: str) -> BrowserContext:
    """A browser's profile of its own: cookies, cache and storage are shared with no other."""
    context = browser.new_context(
        base_url=api,
        viewport={"width": WIDTH, "height": HEIGHT},
        color_scheme="light",
        reduced_motion="reduce",
        permissions=["clipboard-read", "clipboard-write"],
    )
    context.set_default_timeout(WAIT)
    context.add_init_script(WATCH)
    return context


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """One tab. `complaints` are what the browser said that a healthy page never makes it say.

    `expected` has statuses that a test brings about, 0 for no answer: Chromium logs any from 400 on as an error.
    """

    page: Page
    context: BrowserContext
    pictures: Path
    complaints: list[str] = field(default_factory=list)
    expected: set[int] = field(default_factory=set)

    @classmethod
    def new(cls, context: BrowserContext, pictures: Path) -> "Look":
        look = cls(page=context.new_page(), context=context, pictures=pictures)
        look.page.on("console", lambda message: look._said(message))  # noqa: PLW0108 - Playwright marks what it is given
        look.page.on("pageerror", lambda error: look.complaints.append(f"thrown: {error}"))
        return look

    def close(self) -> None:
        self.page.close()

    def start(self) -> None:
        """Go to the page, for who is signed in, and wait until its first view stands."""
        self.page.goto("/")
        expect(self.page.locator(STANDING)).to_be_visible()

    def sign_in(self, key: str) -> None:
        """Go to the page and sign in by its form."""
        self.page.goto("/")
        self.page.get_by_label("API key").fill(key)
        self.page.get_by_role("button", name="Sign in").click()
        expect(self.page.locator(STANDING)).to_be_visible()

    def open(self, place: str) -> None:
        """Go to a view, such as "#/queues", and wait until it stands."""
        self.page.evaluate("(place) => { location.hash = place; }", place)
        path = place.removeprefix("#").partition("?")[0]
        shape = "^" + "/".join(f"({part}|:[a-z]+)" for part in path.split("/")) + "$"
        self.page.wait_for_function(
            "(shape) => new RegExp(shape).test(document.querySelector('main[data-ready]')?.dataset.ready || '')",
            arg=shape,
        )

    def theme(self, theme: str) -> None:
        self.page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
        self.page.evaluate(TWO_FRAMES)  # in which colours that fade have done so

    def shot(self, name: str, *, whole: bool = True) -> None:
        """Keep pictures of the view in light and in dark; `whole`: from top to bottom, and not only what is seen."""
        tall = int(self.page.evaluate("() => document.documentElement.scrollHeight")) if whole else HEIGHT
        self.page.set_viewport_size({"width": WIDTH, "height": min(max(tall, HEIGHT), TALLEST)})
        for theme in THEMES:
            self.theme(theme)
            self.page.screenshot(path=self.pictures / f"{name}-{theme}.png", animations="disabled")
        self.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
        self.theme("light")

    def axe(self) -> None:
        """Assert that the view breaks none of axe-core's rules, in light and in dark."""
        if not self._has_axe():
            # A script of the test's, not of the page: it is put in by the debugger, which the policy does not concern.
            self.page.evaluate(f"() => {{ {AXE.read_text(encoding='utf-8')} }}")
        for theme in THEMES:
            self.theme(theme)
            found = self.page.evaluate("(options) => axe.run(document, options)", AXE_OPTIONS[theme])
            broken = [_told(violation) for violation in found["violations"]]
            assert broken == [], f"in {theme}: {broken}"
        self.theme("light")

    def _has_axe(self) -> bool:
        return bool(self.page.evaluate("'axe' in window"))

    def narrow(self) -> list[str]:
        """What stands outside a small screen and cannot be scrolled to, or not by keyboard; call it after `axe`."""
        outside: list[str] = []
        for width in SMALL:
            self.page.set_viewport_size({"width": width, "height": HEIGHT})
            self.page.evaluate(TWO_FRAMES)
            with suppress(NotInTime):  # a table that is too wide by now scrolls some frames later
                self.page.wait_for_function(f"() => !({OUTSIDE})().length", timeout=10_000)
            outside += [f"at {width}: {one}" for one in self.page.evaluate(OUTSIDE)]
            found = self.page.evaluate("(options) => axe.run(document, options)", REACHED) if self._has_axe() else {}
            outside += [_told(violation) for violation in found.get("violations", ())]
        self.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
        for _ in range(2):  # until what the change has moved is told
            self.page.evaluate(TWO_FRAMES)
        return outside

    def shift(self) -> float:
        """How much has moved by itself since the page was loaded (Chromium's layout shift; 0 is still)."""
        return float(self.page.evaluate("() => window.shifts.reduce((sum, [value]) => sum + value, 0)"))

    def shifted(self) -> list[Any]:
        """What moved, for a message."""
        return list(self.page.evaluate("() => window.shifts"))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type not in {"error", "warning"}:
            return
        if any((f"status of {status}" if status else "net::ERR_") in message.text for status in self.expected):
            return
        self.complaints.append(f"{message.type}: {message.text} ({message.location['url']})")


def _told(violation: dict[str, Any]) -> str:
    places = [f"{node['target']}: {node['failureSummary']}" for node in violation["nodes"][:5]]
    return f"{violation['id']}: {violation['help']} {places}"
