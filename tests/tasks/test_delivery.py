"""When a message is sent again, and what it says."""

import json
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from storage.model import JobId, TenantId
from storage.webhook_model import Delivery, DeliveryId, DeliveryState, EventType
from tasks.delivery import LONGEST_WISH_SECONDS, MAX_TRIES, body_of, is_delivered, seconds_to_next_try, wish_seconds

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)
MINUTE, HOUR = 60, 3600


@pytest.mark.parametrize(
    ("tries", "seconds"),
    list(enumerate([5, 5 * MINUTE, 30 * MINUTE, *(hours * HOUR for hours in (2, 5, 10, 14, 20, 24))], start=1)),
)
def test_each_failure_is_followed_by_a_longer_wait(tries: int, seconds: float) -> None:
    waits = [seconds_to_next_try(tries) for _ in range(200)]
    assert all(wait is not None and 0.9 * seconds <= wait <= 1.1 * seconds for wait in waits)
    assert len(set(waits)) > 100


def test_the_tenth_failure_is_the_last() -> None:
    assert MAX_TRIES == 10
    assert seconds_to_next_try(10) is None
    assert seconds_to_next_try(10, wish_seconds=60) is None


def test_a_wish_makes_it_later_and_never_sooner_and_a_day_at_most() -> None:
    assert seconds_to_next_try(1, wish_seconds=600) == 600
    assert (seconds_to_next_try(3, wish_seconds=600) or 0) > 1600
    assert seconds_to_next_try(1, wish_seconds=1e9) == LONGEST_WISH_SECONDS


@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [
        (429, "120", 120),
        (503, " 7 ", 7),
        (429, format_datetime(NOW + timedelta(minutes=5), usegmt=True), 300),
        (429, format_datetime(NOW - timedelta(minutes=5), usegmt=True), 0),
        (429, "9" * 50, LONGEST_WISH_SECONDS),
        (429, "soon", 0),
        (429, "Wed, 99 Mar 2025 12:00:00 GMT", 0),
        (429, "Wed, 05 Mar 2025 12:00:00 +99999999999999999", 0),
        (503, "Wed, 05 Mar 2025 99999999999999999999:00:00 GMT", 0),
        (429, "-5", 0),
        (429, "", 0),
        (429, None, 0),
        (500, "120", 0),
    ],
)
def test_only_who_is_busy_has_a_wish(status: int, header: str | None, seconds: float) -> None:
    assert wish_seconds(status, header, now=NOW) == seconds


@pytest.mark.parametrize(("status", "arrived"), [(199, False), (200, True), (204, True), (299, True), (300, False)])
def test_only_200_to_299_is_an_arrival(status: int, arrived: bool) -> None:
    assert is_delivered(status) is arrived


def test_what_tells_of_no_job_has_its_own_data_and_the_time_is_told_in_utc() -> None:
    delivery = Delivery(
        tenant_id=TenantId("ten_1"),
        id=DeliveryId("dlv_1"),
        endpoint_id=None,
        url=None,
        lane="lane",
        type=EventType.WEBHOOK_DISABLED,
        message_id="msg_1",
        job_id=JobId("job_1"),
        data={"endpoint": "whe_1", "reason": "señor"},
        happened_at=NOW.astimezone(timezone(timedelta(hours=2))),
        state=DeliveryState.PENDING,
        next_at=NOW,
        tries=0,
        log=(),
        body=None,
        ended_at=None,
    )
    body = body_of(delivery, None, "")
    assert json.loads(body) == {
        "type": "webhook.disabled",
        "timestamp": "2025-03-01T12:00:00Z",
        "data": {"endpoint": "whe_1", "reason": "señor"},
    }
