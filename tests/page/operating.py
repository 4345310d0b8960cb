"""What the operators' tests put into the platform, and wait for, past the page."""

from typing import Any

import httpx2

from storage.database import Database
from storage.model import new_job_id
from storage.tenants import ensure
from tests.waiting import until

SAY = {"steps": {"say": {"kind": "echo", "message": "hello"}}}

_MANY = """
INSERT INTO jobs (tenant_id, id, state, priority, metadata, steps_total, steps_open, created_at, started_at,
                  finished_at)
SELECT %(tenant)s, id, 'succeeded', 3, '{}', 1, 0, at, at + interval '0.4 s', at + interval '2.1 s'
FROM unnest(%(ids)s::text[]) WITH ORDINALITY AS made (id, n), LATERAL (SELECT now() - n * interval '7 s' AS at) AS t
"""


def many(rows: Database, tenant: str, count: int) -> None:
    """So many jobs that have succeeded, one every seven seconds; as rows, for through the door they take a minute."""
    ids = sorted((new_job_id() for _ in range(count)), reverse=True)
    with rows.platform() as ptx:
        tenant_id = ensure(ptx, tenant)
    with rows.begin(tenant_id) as tx:
        tx.sql(_MANY, ids=ids)


def submitted(client: httpx2.Client, document: dict[str, Any]) -> str:
    """The id of a new job."""
    answer = client.post("/v1/jobs", json=document)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def ended(client: httpx2.Client, job: str, state: str) -> dict[str, Any]:
    """The job's document, once it has ended like this."""

    def look() -> dict[str, Any] | None:
        document: dict[str, Any] = client.get(f"/v1/jobs/{job}?wait=10").json()
        return document if document["finished_at"] else None

    document = until(look, seconds=40)
    assert document["state"] == state, document["error"]
    return document


def calling(url: str, **more: Any) -> dict[str, Any]:
    """A job that calls a third party once, and fails if it is refused."""
    return {"steps": {"crm": {"kind": "http.call", "url": url, "body": {}, "max_attempts": 1, **more}}}
