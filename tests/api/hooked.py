"""Webhooks over HTTP, and the part of the loop that delivers by hand."""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx2

from storage import delivering
from storage.database import Database
from storage.model import TenantId
from storage.webhook_model import Claimed, EndpointId, Try
from storage.webhooks import find
from tests.api.conftest import Caller

HOOK = {"url": "https://shop.example/hooks/millrace"}
OWN_SECRET = "whsec_" + base64.b64encode(bytes(range(24))).decode()


def ask(
    caller: Caller, method: str, path: str, headers: Mapping[str, str] | None = None, **how: Any
) -> httpx2.Response:
    """A request below /v1/webhooks."""
    sent = {"Authorization": f"Bearer {caller.key}", **(headers or {})}
    return caller.http.request(method, f"/v1/webhooks{path}", headers=sent, **how)


def made(caller: Caller, **fields: Any) -> Any:
    """A new webhook's document, with its secret: HOOK, with other fields."""
    answer = ask(caller, "POST", "", json=HOOK | fields)
    assert answer.status_code == 201, answer.text
    return answer.json()


def shown(caller: Caller, webhook: Any) -> Any:
    """The webhook's document as it stands."""
    answer = ask(caller, "GET", f"/{webhook['id']}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def change(caller: Caller, webhook: Any, patch: Any, headers: Mapping[str, str] | None = None) -> httpx2.Response:
    """Change the webhook by a JSON merge patch."""
    return ask(caller, "PATCH", f"/{webhook['id']}", headers, json=patch)


def listed(caller: Caller, webhook: Any, query: str = "") -> list[Any]:
    """The first page of its deliveries."""
    answer = ask(caller, "GET", f"/{webhook['id']}/deliveries{query}")
    assert answer.status_code == 200, answer.text
    data: list[Any] = answer.json()["data"]
    return data


def try_all(
    database: Database,
    tenant: TenantId,
    webhook_id: str,
    *,
    status: int | None = 204,
    again_in_seconds: float | None = None,
    body: str = '{"type": "job.canceled"}',
) -> list[Claimed]:
    """Try all that is due to the webhook, as the loop does; what is answered with 2xx is delivered."""
    taken = status is not None and 200 <= status < 300
    error = None if taken else f"it answered {status}" if status else "shop.example does not answer"
    tried = Try(at=datetime.now(UTC), status=status, error=error, seconds=0.25)
    with database.begin(tenant) as tx:
        endpoint = find(tx, EndpointId(webhook_id))
        assert endpoint is not None
        claimed = delivering.take_of(tx, endpoint, limit=100, lease_seconds=60)
        for one in claimed:
            assert delivering.keep_body(tx, one, body) is not None
            if taken:
                assert delivering.delivered(tx, one, tried)
            else:
                assert delivering.failed(tx, one, tried, again_in_seconds=again_in_seconds)
                delivering.note_failure(tx, endpoint.id, long_seconds=1e9, many=1)
    return claimed


def ended(caller: Caller) -> str:
    """The id of a job that has ended: canceled before it began."""
    job_id: str = caller.post(json={"steps": {"say": {"kind": "echo"}}}).json()["id"]
    assert caller.ask("POST", f"/v1/jobs/{job_id}/cancel").status_code == 200
    return job_id
