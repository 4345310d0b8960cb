"""One whole platform and one Chromium for all tests of the page; what the browser complains of fails the test."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from deploy.local.settings import from_env
from deploy.local.stack import Running, running_platform
from storage import tenants
from storage.database import Database
from storage.settings import DatabaseSettings
from tests import pools
from tests.page.looks import Look, new_context
from tests.sink import Sink, sink

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="package")
def third_party() -> Iterator[Sink]:
    with sink() as state:
        yield state


@pytest.fixture(scope="package")
def page_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="package")
def platform(page_home: Path, third_party: Sink) -> Iterator[Running]:
    """The platform with one worker of each pool, that of the networks included."""
    if CHROMIUM is None:
        pytest.skip("the page is tested in Chromium, which is not installed (Debian: chromium)")
    env = {
        **os.environ,
        "MILLRACE_HOME": str(page_home),
        "LEASE_SECONDS": "3",
        "OUTBOUND_ALLOW": third_party.host,
        "POOLS_DIR": str(pools.fixed(page_home / "pools", without=())),
    }
    for name in ("DATABASE_URL", "CELERY_BROKER_URL", "STORAGE_URL"):
        env.pop(name, None)
    with running_platform(page_home, settings=from_env(env), say=lambda _: None) as running:
        yield running


@pytest.fixture(scope="package")
def rows(platform: Running) -> Iterator[Database]:
    """The platform's database."""
    url = platform.urls["database"]
    database = Database(DatabaseSettings(url=url, direct_url=url, pool_size=2))
    yield database
    database.close()


@pytest.fixture(scope="package")
def make_key(rows: Database) -> Callable[..., str]:
    """Makes a key of a tenant with the scopes given; tenants are made as they are named."""

    def make(*scopes: str, tenant: str = "page") -> str:
        with rows.platform() as tx:
            return tenants.create_key(tx, tenants.ensure(tx, tenant), scopes)

    return make


@pytest.fixture(scope="package")
def developer_key(make_key: Callable[..., str]) -> str:
    return make_key("jobs:read", "jobs:write")


@pytest.fixture(scope="package")
def operator_key(make_key: Callable[..., str]) -> str:
    return make_key("jobs:read", "jobs:write", "operate")


@pytest.fixture(scope="package")
def watcher_key(make_key: Callable[..., str]) -> str:
    return make_key("operate:read")


@pytest.fixture
def client(platform: Running, operator_key: str) -> Iterator[httpx2.Client]:
    """HTTP with the operator's key, past the page."""
    headers = {"Authorization": f"Bearer {operator_key}"}
    with httpx2.Client(base_url=platform.api, headers=headers, timeout=70) as made:
        yield made


@pytest.fixture(scope="package")
def browser(platform: Running) -> Iterator[Browser]:
    with sync_playwright() as playwright:  # it keeps an event loop running: not beyond this package's tests
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield launched
        launched.close()


@pytest.fixture(scope="package")
def pictures_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots are kept: PAGE_SCREENSHOTS, or a folder that goes with the tests' other files."""
    given = os.environ.get("PAGE_SCREENSHOTS")
    folder = Path(given) if given else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def visitor(browser: Browser, platform: Running, pictures_folder: Path) -> Iterator[Look]:
    """The page as somebody sees it who is not signed in: nothing is shared with other tests."""
    context = new_context(browser, platform.api)
    yield from looking(context, pictures_folder)
    context.close()


@pytest.fixture(scope="package")
def signed_in(browser: Browser, platform: Running) -> Iterator[Callable[[str], BrowserContext]]:
    """Gives the context in which a key's holder is signed in: tests share its cache and its cookie."""
    contexts: dict[str, BrowserContext] = {}

    def context_of(key: str) -> BrowserContext:
        if key not in contexts:
            contexts[key] = new_context(browser, platform.api)
            assert contexts[key].request.post("/v1/session", data={"key": key}).ok
        return contexts[key]

    yield context_of
    for context in contexts.values():
        context.close()


@pytest.fixture
def look(signed_in: Callable[[str], BrowserContext], operator_key: str, pictures_folder: Path) -> Iterator[Look]:
    """The page as an operator sees it who may do everything."""
    yield from looking(signed_in(operator_key), pictures_folder, start=True)


@pytest.fixture
def developer(signed_in: Callable[[str], BrowserContext], developer_key: str, pictures_folder: Path) -> Iterator[Look]:
    """The page as an app's developer sees it."""
    yield from looking(signed_in(developer_key), pictures_folder, start=True)


@pytest.fixture
def watcher(signed_in: Callable[[str], BrowserContext], watcher_key: str, pictures_folder: Path) -> Iterator[Look]:
    """The page as somebody sees it who may look at everything and change nothing."""
    yield from looking(signed_in(watcher_key), pictures_folder, start=True)


def looking(context: BrowserContext, pictures: Path, *, start: bool = False) -> Iterator[Look]:
    """A tab of the context for one test, `start`ed at the page; at its end nobody may have complained."""
    look = Look.new(context, pictures)
    if start:
        look.start()
    yield look
    look.close()
    assert look.complaints == [], "the browser complained"
