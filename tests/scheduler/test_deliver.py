"""Webhooks against real receivers: what is sent, when again, and that nobody waits for another."""

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from storage import deliveries, jobs, webhooks
from storage.database import Database
from storage.model import TenantId
from storage.retention import delete
from storage.sealing import Keyring
from storage.tenants import ensure
from storage.webhook_model import DeliveryState
from tasks.job_document import job_document
from tasks.signatures import tenant_signing
from tests.documents import ECHO, put_in
from tests.scheduler.delivering import delivering, end_job, endpoint_at, seconds_left, secret_of, tried
from tests.scheduler.receiver import Receiver, Reply, receiving
from tests.storage.telling import ALL, RING, ended, endpoint_in, make_due, states
from tests.waiting import until

DELIVERED = {DeliveryState.DELIVERED}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def test_a_job_that_ends_is_told_at_once_and_signed(database: Database, tenant: TenantId, receiver: Receiver) -> None:
    endpoint = endpoint_at(database, tenant, receiver)
    with delivering(database):
        end_job(database, tenant)  # everything is warm then
        until(lambda: len(receiver.got) == 1)
        job = put_in(database, tenant)
        ended(database, tenant, job)
        until(lambda: len(receiver.got) == 2)
    got = receiver.got[1]
    got.verify(secret_of(endpoint))
    assert (got.headers["content-type"], got.headers["user-agent"]) == ("application/json", "Millrace")
    message = json.loads(got.body)
    with database.read(tenant) as tx:
        stands = jobs.find(tx, job.id)
        [delivery] = deliveries.page_of_job(tx, job.id, before=None, limit=10)
    assert stands is not None
    assert message == {
        "type": "job.succeeded",
        "timestamp": delivery.happened_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "data": job_document(stands, "https://jobs.example.com").model_dump(mode="json"),
    }
    assert (delivery.state, delivery.message_id) == (DeliveryState.DELIVERED, got.id)


def test_a_step_is_told_with_its_name_and_a_deleted_job_with_its_state(
    database: Database, tenant: TenantId, receiver: Receiver
) -> None:
    endpoint_in(database, tenant, ALL, url=f"{receiver.url}/hook")
    first, gone = end_job(database, tenant), end_job(database, tenant)
    with database.begin(tenant) as tx:
        assert delete(tx, gone.id)
    with delivering(database):
        until(lambda: len(receiver.got) == 4)
    messages = [json.loads(got.body) for got in receiver.got]
    assert {(one["type"], one["data"]["id"], one["data"]["state"], one["data"].get("step")) for one in messages} == {
        ("step.succeeded", first.id, "succeeded", "say"),
        ("job.succeeded", first.id, "succeeded", None),
        ("step.succeeded", gone.id, None, "say"),
        ("job.succeeded", gone.id, "succeeded", None),
    }


def test_a_job_whose_results_are_large_is_told_without_its_steps(
    database: Database, tenant: TenantId, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.jobs.MOST_TOLD_BYTES", 10)
    endpoint_at(database, tenant, receiver)
    job = end_job(database, tenant)
    with delivering(database):
        until(lambda: receiver.got)
    data = json.loads(receiver.got[0].body)["data"]
    assert "steps" not in data
    assert (data["id"], data["state"], data["links"]["self"]) == (
        job.id,
        "succeeded",
        f"https://jobs.example.com/v1/jobs/{job.id}",
    )


def test_notify_is_signed_with_what_the_tenants_key_is_derived_from(
    database: Database, tenant: TenantId, receiver: Receiver
) -> None:
    job = put_in(database, tenant, {**ECHO, "notify": {"url": f"{receiver.url}/done?of=mine"}})
    ended(database, tenant, job)
    with delivering(database):
        until(lambda: len(receiver.got) == 1)
    [got] = receiver.got
    got.verify(*tenant_signing(RING, tenant).secrets)
    assert (got.path, json.loads(got.body)["data"]["id"]) == ("/done?of=mine", job.id)


def test_while_secrets_rotate_either_verifies(database: Database, tenant: TenantId, receiver: Receiver) -> None:
    endpoint = endpoint_at(database, tenant, receiver)
    now = datetime.now(UTC)
    newer = tenant_signing(Keyring(["another key of thirty-two signs."]), tenant).secrets[0]
    with database.begin(tenant) as tx:
        webhooks.rotate(tx, RING, endpoint.id, newer, now=now, old_until=now + timedelta(days=1))
    end_job(database, tenant)
    with delivering(database):
        until(lambda: len(receiver.got) == 1)
    receiver.got[0].verify(secret_of(endpoint))
    receiver.got[0].verify(newer)


def test_every_try_sends_the_same_bytes_with_the_same_id(
    database: Database, tenant: TenantId, receiver: Receiver
) -> None:
    endpoint = endpoint_at(database, tenant, receiver)
    receiver.replies["/hook"] = [Reply(status=500), Reply(status=302, headers={"Location": "/other"}), Reply()]
    job = end_job(database, tenant)
    with delivering(database):
        first = tried(database, tenant, endpoint, 1)
        assert 4.4 < seconds_left(first) < 5.6
        with database.begin(tenant) as tx:
            assert delete(tx, job.id)  # the document would be another one now
        make_due(database)
        second = tried(database, tenant, endpoint, 2)
        assert 269 < seconds_left(second) < 331
        make_due(database)
        third = tried(database, tenant, endpoint, 3)
    assert [one.status for one in third.log] == [500, 302, 204]
    assert third.log[1].error == "it answered with a redirect, which is not followed"
    assert (third.state, third.tries) == (DeliveryState.DELIVERED, 3)
    assert len({(got.path, got.id, got.body) for got in receiver.got}) == 1
    assert len(receiver.got) == 3
    for got in receiver.got:
        got.verify(secret_of(endpoint))


def test_one_that_hangs_delays_no_other(database: Database, tenant: TenantId, receiver: Receiver) -> None:
    hanging, letting_go = endpoint_at(database, tenant, receiver, "/hangs"), threading.Event()
    receiver.replies["/hangs"] = [Reply(hang=letting_go)]
    with database.begin(tenant) as tx:
        for _ in range(300):
            deliveries.insert_test(tx, hanging.id)
    with delivering(database):
        until(lambda: len(receiver.to("/hangs")) == 4)
        endpoint_at(database, tenant, receiver, "/fine")
        job = put_in(database, tenant)
        began = time.monotonic()
        ended(database, tenant, job)
        until(lambda: receiver.to("/fine"))
        assert receiver.to("/fine")[0].at - began < 5, "it waited for those that hang"
        assert len(receiver.to("/hangs")) == 4
        letting_go.set()
        until(lambda: len(receiver.to("/hangs")) == 301)


def test_fifty_of_one_tenant_that_hang_delay_no_other_tenant(
    database: Database, tenant: TenantId, receiver: Receiver
) -> None:
    letting_go = threading.Event()
    for number in range(50):
        hanging = endpoint_at(database, tenant, receiver, f"/hangs/{number}")
        receiver.replies[f"/hangs/{number}"] = [Reply(hang=letting_go)]
        with database.begin(tenant) as tx:
            for _ in range(5):
                deliveries.insert_test(tx, hanging.id)
    with database.platform() as platform:
        other = ensure(platform, "other")
    endpoint_at(database, other, receiver, "/fine")
    with delivering(database):
        until(lambda: len(receiver.got) == 50)
        job = put_in(database, other)
        began = time.monotonic()
        ended(database, other, job)
        until(lambda: receiver.to("/fine"))
        assert receiver.to("/fine")[0].at - began < 5, "it waited for those that hang"
        assert len(receiver.got) == 51
        letting_go.set()
        until(lambda: len(receiver.got) == 251)


def test_large_messages_go_one_at_a_time_and_delay_no_other_tenants(
    database: Database, tenant: TenantId, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler.sending.LARGE_BYTES", 10)
    monkeypatch.setattr("scheduler.sending.LARGE_AGAIN_SECONDS", 0.1)
    letting_go = threading.Event()
    for number in range(3):
        endpoint_at(database, tenant, receiver, f"/hangs/{number}")
        receiver.replies[f"/hangs/{number}"] = [Reply(hang=letting_go)]
    with database.platform() as platform:
        other = ensure(platform, "other")
    endpoint_at(database, other, receiver, "/fine")
    end_job(database, tenant)
    with delivering(database):
        until(lambda: receiver.got)
        end_job(database, other)
        until(lambda: receiver.to("/fine"))
        assert len(receiver.got) == 2
        letting_go.set()
        until(lambda: len(receiver.got) == 4)
    assert {len(receiver.to(f"/hangs/{number}")) for number in range(3)} == {1}


def test_a_message_is_overtaken_only_while_it_is_under_way(
    database: Database, tenant: TenantId, receiver: Receiver
) -> None:
    endpoint_at(database, tenant, receiver)
    ends = [end_job(database, tenant).id for _ in range(60)]
    with delivering(database):
        until(lambda: len(receiver.got) == 60)
    came = [ends.index(json.loads(got.body)["data"]["id"]) for got in receiver.got]
    late = [sum(earlier not in came[:place] for earlier in range(number)) for place, number in enumerate(came)]
    assert max(late) <= 3  # four are under way at a time


def test_two_loops_deliver_each_message_once(database: Database, tenant: TenantId, receiver: Receiver) -> None:
    endpoints = [endpoint_at(database, tenant, receiver, f"/{number}") for number in range(5)]
    with delivering(database), delivering(database):
        ends = [end_job(database, tenant).id for _ in range(40)]
        until(lambda: len(receiver.got) >= 200)
        until(lambda: {state for one in endpoints for state in states(database, tenant, one.id)} == DELIVERED)
    told = [(got.path, json.loads(got.body)["data"]["id"]) for got in receiver.got]
    assert sorted(told) == sorted((f"/{number}", job) for number in range(5) for job in ends)


def test_what_is_sent_again_arrives_with_the_id_it_had(
    database: Database, tenant: TenantId, receiver: Receiver
) -> None:
    endpoint = endpoint_at(database, tenant, receiver)
    end_job(database, tenant)
    with delivering(database):
        first = tried(database, tenant, endpoint, 1)
        with database.begin(tenant) as tx:
            deliveries.redeliver(tx, first.id)
        until(lambda: len(receiver.got) == 2)
    assert len({(got.id, got.body) for got in receiver.got}) == 1


def test_one_that_stops_gives_back_what_hangs(
    database: Database, tenant: TenantId, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler.deliver.GRACE_SECONDS", 0.2)
    endpoint, letting_go = endpoint_at(database, tenant, receiver), threading.Event()
    receiver.replies["/hook"] = [Reply(hang=letting_go), Reply()]
    end_job(database, tenant)
    with delivering(database):
        until(lambda: receiver.got)
    with delivering(database):  # long before the lease is over
        until(lambda: states(database, tenant, endpoint.id) == [DeliveryState.DELIVERED])
    letting_go.set()
    assert len({got.id for got in receiver.got}) == 1
