"""Webhooks whose receivers are busy, gone, silent or elsewhere, and what stops a delivery here."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from storage import webhooks
from storage.database import Database
from storage.model import TenantId
from storage.sealing import Keyring
from storage.webhook_model import DeliveryState, EventType
from tasks.addresses import Rules
from tests.scheduler.delivering import delivering, end_job, endpoint_at, only, seconds_left, tried
from tests.scheduler.receiver import Receiver, Reply, receiving
from tests.storage.telling import endpoint_in, make_due, states
from tests.waiting import until


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def test_ten_tries_are_all(database: Database, tenant: TenantId, receiver: Receiver) -> None:
    endpoint = endpoint_at(database, tenant, receiver)
    receiver.replies["/hook"] = [Reply(status=500)]
    end_job(database, tenant)
    with delivering(database):
        for number in range(1, 11):
            found = tried(database, tenant, endpoint, number)
            make_due(database)
    assert (found.state, found.tries, len(receiver.got)) == (DeliveryState.FAILED, 10, 10)
    assert only(database, tenant, endpoint).next_at is None


@pytest.mark.parametrize("status", [429, 503])
def test_who_is_busy_is_left_alone_for_as_long_as_it_asks(
    database: Database, tenant: TenantId, receiver: Receiver, status: int
) -> None:
    endpoint, other = endpoint_at(database, tenant, receiver), endpoint_at(database, tenant, receiver, "/other")
    receiver.replies["/hook"] = [Reply(status=status, headers={"Retry-After": "600"})]
    end_job(database, tenant)
    with delivering(database):
        found = tried(database, tenant, endpoint, 1)
        end_job(database, tenant)  # it has to wait as well
        until(lambda: len(receiver.to("/other")) == 2)
        until(lambda: DeliveryState.PENDING not in states(database, tenant, other.id))
    assert 598 < seconds_left(found) < 602
    assert found.tries == 1
    assert len(receiver.to("/hook")) == 1


def test_a_date_is_as_good_as_seconds(database: Database, tenant: TenantId, receiver: Receiver) -> None:
    endpoint = endpoint_at(database, tenant, receiver)
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    receiver.replies["/hook"] = [Reply(status=503, headers={"Retry-After": later})]
    end_job(database, tenant)
    with delivering(database):
        assert 3590 < seconds_left(tried(database, tenant, endpoint, 1)) < 3601


def test_one_that_moves_need_not_wait_for_as_long_as_the_old_place_asked(
    database: Database, tenant: TenantId, receiver: Receiver
) -> None:
    endpoint = endpoint_at(database, tenant, receiver, "/old")
    receiver.replies["/old"] = [Reply(status=503, headers={"Retry-After": "600"})]
    end_job(database, tenant)
    with delivering(database):
        tried(database, tenant, endpoint, 1)
        with database.begin(tenant) as tx:
            webhooks.change(tx, endpoint.id, url=f"{receiver.url}/new")
        end_job(database, tenant)
        until(lambda: receiver.to("/new"))
    assert len(receiver.to("/old")) == 1


def test_a_wish_that_no_calendar_has_is_none(database: Database, tenant: TenantId, receiver: Receiver) -> None:
    endpoint = endpoint_at(database, tenant, receiver)
    odd = "Mon, 20 Nov 2026 10:00:00 +99999999999999999"
    receiver.replies["/hook"] = [Reply(status=503, headers={"Retry-After": odd})]
    end_job(database, tenant)
    with delivering(database):
        assert 4.4 < seconds_left(tried(database, tenant, endpoint, 1)) < 5.6


def test_what_cannot_be_written_is_tried_no_more_often_than_others_and_blames_no_receiver(
    database: Database, tenant: TenantId, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.delivery.job_document", lambda *_: None)
    endpoint = endpoint_at(database, tenant, receiver)
    end_job(database, tenant)
    with delivering(database):
        for number in range(1, 11):
            found = tried(database, tenant, endpoint, number)
            make_due(database)
    assert (found.state, found.log[0].error) == (DeliveryState.FAILED, "the platform could not send it")
    with database.read(tenant) as tx:
        stands = webhooks.find(tx, endpoint.id)
    assert (stands and stands.failing_since, receiver.got) == (None, [])


def test_one_that_is_gone_is_disabled_and_the_others_are_told(
    database: Database, tenant: TenantId, receiver: Receiver
) -> None:
    gone = endpoint_at(database, tenant, receiver, "/gone")
    endpoint_in(database, tenant, [EventType.WEBHOOK_DISABLED], url=f"{receiver.url}/curious")
    receiver.replies["/gone"] = [Reply(status=410)]
    end_job(database, tenant)
    with delivering(database):
        until(lambda: receiver.to("/curious"))
    with database.read(tenant) as tx:
        found = webhooks.find(tx, gone.id)
    assert found is not None
    assert found.disabled_reason == "it answered 410 Gone"
    message = json.loads(receiver.to("/curious")[0].body)
    assert (message["type"], message["data"]) == (
        "webhook.disabled",
        {"endpoint": gone.id, "reason": "it answered 410 Gone"},
    )
    assert states(database, tenant, gone.id) == [DeliveryState.FAILED]


def test_one_that_has_only_failed_for_days_is_disabled_and_what_waits_is_canceled(
    database: Database, tenant: TenantId, receiver: Receiver
) -> None:
    endpoint = endpoint_at(database, tenant, receiver)
    receiver.replies["/hook"] = [Reply(status=500)]
    for _ in range(3):
        end_job(database, tenant)

    def fails(times: int) -> None:
        until(lambda: len(receiver.got) >= times)
        make_due(database)

    with delivering(database):
        for number in range(1, 9):
            fails(number)
        with database.platform() as tx:
            tx.sql("UPDATE webhook_endpoints SET failing_since = failing_since - interval '6 days'")
        assert DeliveryState.CANCELED not in states(database, tenant, endpoint.id)
        make_due(database)
        until(lambda: set(states(database, tenant, endpoint.id)) == {DeliveryState.CANCELED})
    with database.read(tenant) as reading:
        found = webhooks.find(reading, endpoint.id)
    assert found is not None
    assert found.disabled_reason == "every delivery has failed for 5 days"
    assert len(receiver.got) >= 10


def test_where_nobody_answers_or_may_go_is_told_in_the_log(
    database: Database, tenant: TenantId, receiver: Receiver
) -> None:
    nobody = endpoint_in(database, tenant, url="http://127.0.0.1:1/hook")
    end_job(database, tenant)
    with delivering(database):
        found = tried(database, tenant, nobody, 1)
    assert found.log[0].status is None
    assert found.log[0].error
    make_due(database)
    with delivering(database, rules=Rules.parse("")):
        found = tried(database, tenant, nobody, 2)
    assert "loopback" in (found.log[1].error or "")
    assert found.state is DeliveryState.PENDING


def test_without_the_key_that_sealed_its_secret_nothing_is_sent_unsigned(
    database: Database, tenant: TenantId, receiver: Receiver
) -> None:
    endpoint = endpoint_at(database, tenant, receiver)
    end_job(database, tenant)
    with delivering(database, keyring=Keyring(["another key of thirty-two signs."])):
        found = tried(database, tenant, endpoint, 1)
    assert (found.log[0].error, receiver.got) == ("the platform cannot sign it", [])


def test_without_a_secret_key_everything_waits(
    database: Database, tenant: TenantId, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint = endpoint_at(database, tenant, receiver)
    end_job(database, tenant)
    with delivering(database, keyring=None):
        until(lambda: "deliver.off" in caplog.text)
    assert states(database, tenant, endpoint.id) == [DeliveryState.PENDING]
