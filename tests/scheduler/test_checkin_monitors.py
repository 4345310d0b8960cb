"""Which schedules check in at Sentry, what it is told of them, and the settings for it."""

from typing import Any

import pytest

from scheduler.checkins import monitor_config
from scheduler.settings import from_env
from storage import schedules
from storage.database import Database
from storage.errors import ConfigurationError
from storage.model import TenantId
from storage.telemetry.failure_settings import SentrySettings
from tasks.errors import InvalidDocument
from tasks.schedules import parse
from tests.scheduler.sentry_server import applied
from tests.scheduler.timetable import ECHO, Timetable

ENV = {"DATABASE_URL": "postgresql://a:b@127.0.0.1/c", "STORAGE_URL": "memory://", "CELERY_BROKER_URL": "redis://x"}
EVERY_MINUTE = {"checkin_margin": 2, "max_runtime": 1440, "timezone": "UTC"}


@pytest.fixture
def timetable(database: Database, tenant: TenantId) -> Timetable:
    return Timetable(database, tenant)


def test_the_field_is_the_operators_alone(timetable: Timetable) -> None:
    asked = {"job": ECHO, "every": 60, "sentry_monitor": "nightly"}
    with timetable.database.read(timetable.tenant) as tx:
        now = schedules.clock(tx)
    with pytest.raises(InvalidDocument) as refused:
        parse(asked, now=now)
    assert [flaw.pointer for flaw in refused.value.flaws] == ["/sentry_monitor"]
    for slug in ("Nightly", "a b", "12", "", "x" * 51):
        with pytest.raises(InvalidDocument):
            parse({**asked, "sentry_monitor": slug}, now=now, operator=True)
    stands = applied(timetable).document
    assert parse({**stands, "every": 120}, now=now, before=stands).document["sentry_monitor"] == "nightly"
    for other in ("another", None):
        before = {**stands, "sentry_monitor": other}
        with pytest.raises(InvalidDocument):
            parse(stands, now=now, before=before)
    assert "sentry_monitor" not in timetable.make(every=60).document


@pytest.mark.parametrize(
    ("fields", "config"),
    [
        ({"every": 90}, None),
        ({"every": 5400}, {"schedule": {"type": "interval", "value": 90, "unit": "minute"}}),
        ({"every": 7200}, {"schedule": {"type": "interval", "value": 2, "unit": "hour"}}),
        ({"every": 172_800}, {"schedule": {"type": "interval", "value": 2, "unit": "day"}}),
        ({"every": 3600, "timezone": "Asia/Tokyo"}, {"schedule": {"type": "interval", "value": 1, "unit": "hour"}}),
        ({"cron": "30 2 * * MON-FRI"}, {"schedule": {"type": "crontab", "value": "30 2 * * MON-FRI"}}),
        ({"cron": "@hourly"}, {"schedule": {"type": "crontab", "value": "0 * * * *"}}),
        ({"cron": "20 0 3 * * *"}, {"schedule": {"type": "crontab", "value": "0 3 * * *"}}),
        ({"cron": "*/20 0 3 * * *"}, None),
        (
            {"cron": "0 3 * * *", "timezone": "Europe/Berlin", "jitter_seconds": 61},
            {
                "schedule": {"type": "crontab", "value": "0 3 * * *"},
                "timezone": "Europe/Berlin",
                "checkin_margin": 4,
            },
        ),
        (
            {"cron": "0 3 * * *", "job": {**ECHO, "deadline_seconds": 90}},
            {"schedule": {"type": "crontab", "value": "0 3 * * *"}, "max_runtime": 3},
        ),
        (
            {"cron": "0 3 1 * *", "job": {**ECHO, "deadline_seconds": 30 * 86_400}},
            {"schedule": {"type": "crontab", "value": "0 3 1 * *"}, "max_runtime": 10_080},
        ),
        ({"at": "2999-01-01T00:00:00Z"}, None),
    ],
)
def test_sentry_is_told_when_to_expect_a_check_in(
    timetable: Timetable, fields: dict[str, Any], config: dict[str, Any] | None
) -> None:
    made = monitor_config(timetable.make(**fields).document)
    assert made == (None if config is None else {**EVERY_MINUTE, **config})


@pytest.mark.parametrize(
    ("env", "named"),
    [
        ({"SENTRY_DSN": "sentry.example.com/1"}, "SENTRY_DSN"),
        ({"SENTRY_DSN": "https://sentry.example.com/1"}, "SENTRY_DSN"),
        ({"SENTRY_DSN": "https://key@sentry.example.com/"}, "SENTRY_DSN"),
        ({"SENTRY_DSN": "https://key@sentry.example.com:port/1"}, "SENTRY_DSN"),
        ({"SENTRY_DSN": "https://key@sentry.example.com/1", "SENTRY_ENVIRONMENT": "a/b"}, "SENTRY_ENVIRONMENT"),
        ({"SENTRY_DSN": "https://key@sentry.example.com/1", "SENTRY_ENVIRONMENT": "None"}, "SENTRY_ENVIRONMENT"),
    ],
)
def test_a_dsn_that_is_none_stops_the_start(env: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{named} must be"):
        from_env({**ENV, **env})


def test_a_dsn_is_read_with_its_environment() -> None:
    dsn = "https://key@sentry.example.com/sub/1"
    assert from_env({**ENV, "SENTRY_DSN": dsn}).sentry == SentrySettings(dsn=dsn, environment="production")
    assert from_env({**ENV, "SENTRY_DSN": ""}).sentry is None
