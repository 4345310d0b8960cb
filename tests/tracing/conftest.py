"""One platform for all tests of traces, with a collector and a third party beside it."""

from collections.abc import Iterator, Mapping

import pytest
import redis

from deploy.local.servers import Urls
from tests import hostile
from tests.scheduler.sentry_server import Sentry, sentry_server
from tests.sink import Answer, Sink, sink
from tests.tracing.collector import Collector, collector
from tests.tracing.running import Platform, platform


@pytest.fixture(scope="package")
def third_party() -> Iterator[Sink]:
    with sink() as state:
        yield state


@pytest.fixture
def hook(third_party: Sink) -> Sink:
    """A third party that has not been called yet."""
    third_party.got.clear()
    third_party.received.clear()
    third_party.answers = [Answer()]
    return third_party


@pytest.fixture(scope="package")
def telling() -> Iterator[Collector]:
    with collector() as state:
        yield state


@pytest.fixture(scope="package")
def sentry() -> Iterator[Sentry]:
    with sentry_server() as state:
        yield state


@pytest.fixture(scope="package")
def traced(
    servers: Urls,
    template_database: str,
    s3_env: Mapping[str, str],
    third_party: Sink,
    telling: Collector,
    sentry: Sentry,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Platform]:
    assert servers.broker is not None
    with redis.Redis.from_url(servers.broker) as broker:
        broker.flushall()
    folder = tmp_path_factory.mktemp("traced")
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": telling.endpoint,
        "OTEL_EXPORTER_OTLP_HEADERS": "x-api-key=abc%3D",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_BSP_SCHEDULE_DELAY": "500",
        "OTEL_PROPAGATE_OUTBOUND": "1",
        "OUTBOUND_ALLOW": third_party.host,
        "SENTRY_DSN": sentry.dsn,
        "PYTHONPATH": hostile.installed(folder / "packages"),
    }
    with platform(servers, template_database, s3_env, folder, "default,images,calls", env) as running:
        yield running
