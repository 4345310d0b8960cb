"""Batches over HTTP, and the end of their jobs by hand."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2

from storage import steps
from storage.database import Database
from storage.model import JobId, PublicError, StepId, TenantId
from tests.api.conftest import Api, Caller
from tests.documents import ECHO

LINES = "application/x-ndjson"


def body(*lines: Any) -> bytes:
    """Each on a line of its own: bytes as they are, all else as JSON."""
    return b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)


def send(caller: Caller, *lines: Any, query: str = "", headers: Mapping[str, str] | None = None) -> httpx2.Response:
    """POST /v1/batches with these lines."""
    sent = {"Authorization": f"Bearer {caller.key}", "Content-Type": LINES, **(headers or {})}
    return caller.http.post(f"/v1/batches{query}", content=body(*lines), headers=sent)


def made(caller: Caller, *lines: Any, query: str = "") -> Any:
    """The document of a batch that has just been accepted."""
    answer = send(caller, *(lines or (ECHO, ECHO)), query=query)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/v1/batches/{answer.json()['id']}"
    return answer.json()


def shown(caller: Caller, batch: Any) -> Any:
    answer = caller.get(f"/v1/batches/{batch['id']}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def jobs_of(caller: Caller, batch: Any, query: str = "") -> list[Any]:
    """Its jobs, by their lines."""
    answer = caller.get(f"/v1/jobs?limit=100&batch={batch['id']}{query}")
    assert answer.status_code == 200, answer.text
    return sorted(answer.json()["data"], key=lambda job: job["batch"]["line"])


def counted(batch: Any) -> dict[str, int]:
    """What of its counts is not zero."""
    return {name: count for name, count in batch["counts"].items() if count}


def end(api: Api, jobs: Sequence[Any], *, error: PublicError | None = None) -> None:
    """Do the jobs' only step, as a worker does."""
    for job in jobs:
        end_job(api.database, api.acme.tenant, JobId(job["id"]), error)


def end_job(database: Database, tenant: TenantId, job_id: JobId, error: PublicError | None = None) -> None:
    with database.begin(tenant) as tx:
        found = tx.sql("SELECT id FROM steps WHERE tenant_id = %(tenant)s AND job_id = %(job)s", job=job_id)
        step_id = StepId(found.scalar_one())
        claim = steps.claim(tx, job_id, step_id, worker="w", slot=0, lease_seconds=60)
        assert claim is not None
        if error is None:
            steps.succeed(tx, claim, {"ok": True})
        else:
            steps.fail(tx, claim, error)
