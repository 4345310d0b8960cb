"""The API as its callers see it, with a view behind it: two tenants, the rows, and what is left in the store."""

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from sqlalchemy import text
from sqlalchemy.engine import make_url

from deploy.local.servers import Urls
from storage.database import Database
from storage.model import TenantId
from storage.objects.memory import MemoryObjects
from storage.objects.settings import ObjectSettings
from storage.settings import DatabaseSettings
from storage.tenants import create_key, ensure
from tests.api.serving import Served, served, settings

TABLES = (
    *("jobs", "steps", "attempts", "events", "idempotency", "unique_keys", "removals", "likenesses"),
    *("uploads", "renditions", "job_renditions", "image_keys"),
)
Left = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """A tenant with a key that may do everything."""

    tenant: TenantId
    key: str
    http: httpx2.Client

    def get(self, path: str, headers: Mapping[str, str] | None = None, **how: Any) -> httpx2.Response:
        return self.http.get(path, headers={"Authorization": f"Bearer {self.key}", **(headers or {})}, **how)

    def post(self, headers: Mapping[str, str] | None = None, **how: Any) -> httpx2.Response:
        """POST /v1/jobs."""
        return self.http.post("/v1/jobs", headers={"Authorization": f"Bearer {self.key}", **(headers or {})}, **how)

    def ask(self, method: str, path: str, *, key: str | None = None, **how: Any) -> httpx2.Response:
        """Any other request, with another of the caller's keys if need be."""
        return self.http.request(method, path, headers={"Authorization": f"Bearer {key or self.key}"}, **how)


@dataclass(frozen=True, kw_only=True, slots=True)
class Api:
    """The running app: two tenants who know nothing of each other, the rows, and all that is left behind."""

    served: Served
    database: Database
    acme: Caller
    other: Caller
    objects: Callable[[], list[str]]

    @property
    def url(self) -> str:
        return self.served.url

    @property
    def port(self) -> int:
        return self.served.port

    def left(self) -> Left:
        """How many rows stand in each table, and which objects in the store, begun uploads included."""
        with self.database.platform_read() as tx:
            rows = {table: tx.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() for table in TABLES}
        return {**rows, "objects": sorted(self.objects())}

    def key(self, caller: Caller, *scopes: str) -> str:
        """Another key of the caller, with just these scopes."""
        with self.database.platform() as tx:
            return create_key(tx, caller.tenant, scopes)


@pytest.fixture(scope="session")
def shared_database(servers: Urls, template_database: str) -> Iterator[Database]:
    """One database for all tests that only need tenants of their own."""
    assert servers.database is not None
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(make_conninfo(servers.database), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE millrace_template STRATEGY file_copy")  # type: ignore[arg-type,unused-ignore]
    url = make_url(servers.database).set(database=name).render_as_string(hide_password=False)
    database = Database(DatabaseSettings(url=url, direct_url=url, pool_size=5))
    yield database
    database.close()


@pytest.fixture(scope="session")
def in_memory(shared_database: Database) -> Iterator[Served]:
    with served(settings(shared_database.settings.url)) as running:
        yield running


@pytest.fixture(scope="session")
def on_s3(shared_database: Database, s3_env: Mapping[str, str], bucket: ObjectSettings) -> Iterator[Served]:
    with served(settings(shared_database.settings.url, dict(s3_env))) as running:
        yield running


@pytest.fixture
def api(in_memory: Served, shared_database: Database) -> Iterator[Api]:
    """The app with its objects in memory. Server and database are shared by all tests; the tenants are this test's."""
    with seen(in_memory, shared_database) as api:
        yield api


@pytest.fixture
def s3_api(on_s3: Served, shared_database: Database, bucket_client: Any, bucket: ObjectSettings) -> Iterator[Api]:
    """The same before the real S3 server."""

    def keys() -> list[str]:
        stored = bucket_client.list_objects_v2(Bucket=bucket.bucket).get("Contents", [])
        begun = bucket_client.list_multipart_uploads(Bucket=bucket.bucket).get("Uploads", [])
        return [item["Key"] for item in stored] + [f"{item['Key']} (begun)" for item in begun]

    with seen(on_s3, shared_database, keys) as api:
        yield api


@pytest.fixture(params=["memory", "s3"])
def any_api(request: pytest.FixtureRequest) -> Api:
    """Both, one after the other."""
    found: Api = request.getfixturevalue("api" if request.param == "memory" else "s3_api")
    return found


@pytest.fixture
def own_api(database_url: str, database: Database) -> Iterator[Api]:
    """A server and a database of this test's own, for those that count or break something."""
    with served(settings(database_url)) as running, seen(running, database) as api:
        yield api


@contextlib.contextmanager
def seen(running: Served, database: Database, objects: Callable[[], list[str]] | None = None) -> Iterator[Api]:
    """The server with two new tenants; `objects` lists what its store holds, if that is not memory."""
    list_objects = objects or (lambda: in_memory_keys(running))
    with httpx2.Client(base_url=running.url, timeout=30, verify=False) as http:
        acme, other = (_caller(database, http, name) for name in ("acme", "other"))
        yield Api(served=running, database=database, acme=acme, other=other, objects=list_objects)


def _caller(database: Database, http: httpx2.Client, name: str) -> Caller:
    with database.platform() as tx:
        tenant = ensure(tx, f"{name}-{secrets.token_hex(6)}")
        return Caller(tenant=tenant, key=create_key(tx, tenant, ["jobs:read", "jobs:write"]), http=http)


def in_memory_keys(running: Served) -> list[str]:
    objects = running.service.objects
    assert isinstance(objects, MemoryObjects)
    return list(objects._held)  # the Protocol's own listing is asynchronous, and belongs to the server's loop
