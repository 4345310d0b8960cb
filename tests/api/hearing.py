"""Listens as a developer does, over HTTP, and lets a job end to hear of."""

import contextlib
from collections.abc import Iterator
from typing import Any

from sqlalchemy import text

from tests.api.conftest import Api, Caller
from tests.api.stream import Stream, Told
from tests.api.working import start, succeed
from tests.documents import put_in

LISTEN = "/v1/webhooks/listen"


@contextlib.contextmanager
def listening(caller: Caller, *events: str, after: str | None = None) -> Iterator[Stream]:
    """An open stream, before its first event."""
    headers = {"Authorization": f"Bearer {caller.key}", "Accept": "text/event-stream"}
    headers |= {} if after is None else {"Last-Event-ID": after}
    with caller.http.stream("GET", LISTEN, params={"events": list(events)}, headers=headers) as answer:
        if answer.status_code != 200:
            answer.read()
        assert answer.status_code == 200, answer.text
        yield Stream(answer)


def ready(stream: Stream) -> str:
    """The listener's id."""
    told = next(stream)
    assert told.type == "ready"
    listener: str = told.data["listener"]
    return listener


def message(stream: Stream) -> Told:
    """The next message; signs of life are passed over."""
    told = next(told for told in stream if told.id)
    assert told.type == "webhook"
    return told


def ended(api: Api) -> str:
    """The id of a job of acme's that has just succeeded."""
    job = put_in(api.database, api.acme.tenant)
    succeed(api, start(api, job))
    return job.id


def secret(caller: Caller) -> str:
    secrets: list[str] = caller.get("/v1/webhooks/signing-secret").json()["secrets"]
    return secrets[0]


def rows(api: Api, listener: str) -> Any:
    """The listener's row and the states of what was written for it."""
    given = {"tenant": api.acme.tenant, "listener": listener}
    with api.database.platform_read() as tx:
        one = tx.execute(
            text("SELECT * FROM webhook_endpoints WHERE tenant_id = :tenant AND id = :listener"), given
        ).one_or_none()
        states = tx.execute(
            text("SELECT state FROM deliveries WHERE tenant_id = :tenant AND endpoint_id = :listener ORDER BY id"),
            given,
        )
        return one, [row.state for row in states]


def gone_for(api: Api, seconds: float) -> None:
    """All of acme's listeners were last heard of so long before their minute was over."""
    with api.database.platform() as tx:
        tx.execute(
            text(
                "UPDATE webhook_endpoints SET listening_until = now() - make_interval(secs => :seconds)"
                " WHERE tenant_id = :tenant"
            ),
            {"tenant": api.acme.tenant, "seconds": seconds},
        )
