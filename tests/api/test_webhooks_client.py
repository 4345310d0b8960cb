"""`Millrace.webhooks`, against a real API process, over wires that are cut and to odd servers."""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest

from api.client import ApiError, Delivery, Millrace, MillraceError, Webhook, connection
from api.client.webhooks import AGAIN, EVENTS, STATES
from api.webhook_schemas import Again
from deploy.local.servers import Urls
from storage.webhook_model import OF_ENDPOINTS, DeliveryState
from tests.api.hooked import HOOK, OWN_SECRET, try_all
from tests.api.serving import SECRET_KEY
from tests.api.sink import answer, sink
from tests.api.started import Api, CutWire, api_here

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def api(servers: Urls, template_database: str, s3_env: Mapping[str, str]) -> Iterator[Api]:
    with api_here(servers, template_database, s3_env, SECRET_KEY=SECRET_KEY) as started:
        yield started


@pytest.fixture
def millrace(api: Api) -> Iterator[Millrace]:
    with Millrace(api.url, api.key) as made:
        for one in made.webhooks.list():
            made.webhooks.delete(one.id)
        yield made


@pytest.fixture
def hook(millrace: Millrace) -> Webhook:
    return millrace.webhooks.create(HOOK["url"])


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "TRY_AGAIN_AFTER", (0.01, 0.01))


def canceled(millrace: Millrace) -> str:
    job = millrace.submit({"steps": {"say": {"kind": "echo"}}})
    return millrace.cancel(job.id).id


def test_a_webhook_is_made_read_changed_and_deleted(millrace: Millrace) -> None:
    made = millrace.webhooks.create(
        HOOK["url"], ["job.failed"], description="the shop", ed25519=True, enabled=False, secret=OWN_SECRET
    )
    assert (made.secret, made.events, made.enabled, made.ed25519) == (OWN_SECRET, ("job.failed",), False, True)
    assert made.public_key is not None
    assert OWN_SECRET not in repr(made)
    found = millrace.webhooks.get(made.id)
    assert (found.secret, found.public_key, found.disabled_at) == (None, made.public_key, made.disabled_at)
    changed = millrace.webhooks.update(made.id, {"enabled": True, "events": None})
    assert (changed.enabled, changed.events, changed.description) == (True, EVENTS[:4], "the shop")
    assert list(millrace.webhooks.list()) == [changed]
    millrace.webhooks.delete(made.id)
    assert list(millrace.webhooks.list()) == []


def test_a_secret_is_rotated_and_the_old_one_dropped(millrace: Millrace, hook: Webhook) -> None:
    first = millrace.webhooks.rotate(hook.id)
    assert first.old_until is not None
    assert timedelta(hours=23) < first.old_until - datetime.now(UTC) <= timedelta(hours=24)
    second = millrace.webhooks.rotate(hook.id, expire_old_after=0)
    assert second.old_until is None
    assert len({hook.secret, first.secret, second.secret}) == 3
    assert second.secret not in repr(second)


def test_deliveries_are_told_and_sent_again(api: Api, millrace: Millrace, hook: Webhook) -> None:
    jobs = [canceled(millrace) for _ in range(3)]
    assert [one.job for one in millrace.webhooks.deliveries(hook.id)] == jobs[::-1]
    try_all(api.database, api.tenant_id, hook.id, status=503)
    (newest,) = millrace.webhooks.deliveries(hook.id, "failed", limit=1)
    assert (newest.job, newest.state, newest.tries, newest.next_at) == (jobs[-1], "failed", 1, None)
    assert [(one.status, one.error, one.seconds) for one in newest.log] == [(503, "it answered 503", 0.25)]
    whole = millrace.webhooks.delivery(hook.id, newest.id)
    assert (whole.payload, newest.payload) == ({"type": "job.canceled"}, None)
    again = millrace.webhooks.redeliver(hook.id, newest.id)
    assert (again.state, again.message_id) == ("pending", newest.message_id)
    done = millrace.webhooks.redeliver_since(hook.id, LONG_AGO)
    assert (done.redelivering, done.more) == (2, False)
    assert millrace.webhooks.redeliver_since(hook.id, LONG_AGO.isoformat(), "any").redelivering == 0
    assert [one.webhook for one in millrace.webhooks.of_job(jobs[0])] == [hook.id]


def test_what_is_told_of_a_job_is_found_by_the_job(millrace: Millrace, hook: Webhook) -> None:
    job = canceled(millrace)
    (told,) = millrace.webhooks.deliveries(job, "pending")
    assert (told.webhook, told.job) == (hook.id, job)
    assert millrace.webhooks.delivery(job, told.id) == millrace.webhooks.delivery(hook.id, told.id)
    again = millrace.webhooks.redeliver(job, told.id)
    assert (again.id, again.state) == (told.id, "pending")


def test_a_test_is_a_delivery(millrace: Millrace, hook: Webhook) -> None:
    sent = millrace.webhooks.test(hook.id)
    assert isinstance(sent, Delivery)
    assert (sent.type, sent.webhook, sent.job) == ("webhook.test", hook.id, None)


def test_what_signs_notify_is_told(millrace: Millrace) -> None:
    (secret,) = millrace.webhooks.signing_secrets()
    assert secret.startswith("whsec_")


def test_a_cut_connection_makes_no_second_webhook_and_no_second_secret(
    api: Api, millrace: Millrace, hook: Webhook
) -> None:
    with CutWire(api.url, [0, None]) as wire, Millrace(wire.url, api.key) as cut:
        made = cut.webhooks.create("https://other.example/")
        assert wire.connections == 2
    assert [one.id for one in millrace.webhooks.list()] == [made.id, hook.id]
    assert made.secret is not None
    with CutWire(api.url, [0, None]) as wire, Millrace(wire.url, api.key) as cut:
        rotated = cut.webhooks.rotate(hook.id, idempotency_key="once")
    assert millrace.webhooks.rotate(hook.id, idempotency_key="once").secret == rotated.secret
    with CutWire(api.url, [0, None]) as wire, Millrace(wire.url, api.key) as cut:
        sent = cut.webhooks.test(hook.id)
    assert [one.id for one in millrace.webhooks.deliveries(hook.id)] == [sent.id]


def test_a_refusal_says_where(millrace: Millrace) -> None:
    with pytest.raises(ApiError) as caught:
        millrace.webhooks.create("http://127.0.0.1/")
    assert (caught.value.status, caught.value.code) == (422, "invalid_request")


def test_the_words_of_the_client_are_those_of_the_platform() -> None:
    assert tuple(OF_ENDPOINTS) == EVENTS
    assert tuple(DeliveryState) == STATES
    assert get_args(Again) == AGAIN


def test_what_is_no_id_is_not_asked_for(millrace: Millrace) -> None:
    acts: list[Callable[[], Any]] = [
        lambda: millrace.webhooks.get("../jobs"),
        lambda: millrace.webhooks.delivery("whe_x", "../jobs"),
        lambda: list(millrace.webhooks.of_job("../jobs")),
    ]
    for act in acts:
        with pytest.raises(MillraceError, match="is not the id of"):
            act()


def test_what_is_no_answer_of_the_platform_is_said_to_be_none() -> None:
    odd = answer("200 OK", json.dumps({"data": [{}]}).encode())
    with sink([odd]) as server, Millrace(server.url, "mk_x") as millrace:
        acts: list[Callable[[], Any]] = [
            lambda: millrace.webhooks.create("https://shop.example/"),
            millrace.webhooks.list,
            lambda: millrace.webhooks.rotate("whe_x"),
            lambda: millrace.webhooks.test("whe_x"),
            lambda: list(millrace.webhooks.deliveries("whe_x")),
            lambda: millrace.webhooks.redeliver_since("whe_x", "a"),
            millrace.webhooks.signing_secrets,
        ]
        for act in acts:
            with pytest.raises(MillraceError, match="not as Millrace writes it"):
                act()
