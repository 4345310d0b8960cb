"""Real servers for the tests: started once per run, by our own launcher; every test gets a database of its own."""

import os
import secrets
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
import pytest
import redis
from psycopg.conninfo import make_conninfo
from sqlalchemy.engine import make_url

from deploy.local.servers import Urls, embedded_servers
from storage.database import Database
from storage.migrate import upgrade
from storage.model import TenantId
from storage.objects.boto import s3_client
from storage.objects.buckets import ensure_bucket
from storage.objects.settings import ObjectSettings
from storage.objects.settings import from_env as object_settings
from storage.settings import DatabaseSettings
from storage.tenants import ensure
from tests import memory

Admin: TypeAlias = "psycopg.Connection[tuple[object, ...]]"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI everything that a test may need is there: a skipped test has failed."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which in CI is a failure: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Urls]:
    """PostgreSQL, Valkey and an S3 server, for the whole run; not durable, so fast."""
    with memory.folder(tmp_path_factory.mktemp("servers")) as home, embedded_servers(home, durable=False) as urls:
        yield urls


@pytest.fixture(scope="session")
def admin(servers: Urls) -> Iterator[Admin]:
    """A connection that makes and drops databases."""
    assert servers.database is not None
    with psycopg.connect(make_conninfo(servers.database), autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def template_database(servers: Urls, admin: Admin) -> str:
    """The URL of a migrated, empty database that tests copy and never touch."""
    url = _sibling(servers, "millrace_template")
    admin.execute("CREATE DATABASE millrace_template")
    upgrade(url)
    return url


@pytest.fixture
def database_url(servers: Urls, admin: Admin, template_database: str) -> Iterator[str]:
    """The URL of a fresh, migrated database; gone after the test."""
    name = f"test_{secrets.token_hex(6)}"
    admin.execute(f"CREATE DATABASE {name} TEMPLATE millrace_template STRATEGY file_copy")  # type: ignore[arg-type,unused-ignore]
    yield _sibling(servers, name)
    admin.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type,unused-ignore]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A pool of connections to the fresh database."""
    made = Database(DatabaseSettings(url=database_url, direct_url=database_url, pool_size=5))
    yield made
    made.close()


@pytest.fixture
def tenant(database: Database) -> TenantId:
    """A tenant in the fresh database."""
    with database.platform() as tx:
        return ensure(tx, "acme")


@pytest.fixture
def broker_url(servers: Urls) -> Iterator[str]:
    """The URL of an empty broker; emptied after the test."""
    assert servers.broker is not None
    with redis.Redis.from_url(servers.broker) as client:
        client.flushall()
        yield servers.broker
        client.flushall()


@pytest.fixture(scope="session")
def s3_env(servers: Urls) -> Mapping[str, str]:
    """The variables that lead to the S3 server: STORAGE_URL and AWS_…"""
    return {name: value for name, value in servers.env.items() if name == "STORAGE_URL" or name.startswith("AWS_")}


@pytest.fixture(scope="session")
def photos() -> Path:
    """The folder with the sample photographs."""
    return Path(__file__).parent.parent / "deploy" / "photos"


@pytest.fixture(scope="session")
def bucket(s3_env: Mapping[str, str]) -> ObjectSettings:
    """Settings of the S3 server's bucket, which stands ready."""
    settings = object_settings(s3_env)
    ensure_bucket(settings)
    return settings


@pytest.fixture(scope="session")
def bucket_client(bucket: ObjectSettings) -> Iterator[Any]:
    """A client that looks into the bucket behind our back; to make one takes a tenth of a second."""
    client = s3_client(bucket)
    yield client
    client.close()


def _sibling(servers: Urls, name: str) -> str:
    assert servers.database is not None
    return make_url(servers.database).set(database=name).render_as_string(hide_password=False)
