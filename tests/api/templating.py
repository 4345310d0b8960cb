"""Templates over HTTP, for tests."""

from typing import Any

import httpx2

from tests.api.conftest import Api, Caller
from tests.api.refusing import assert_problem

INVALID = (422, "invalid_job")
SAY = {"say": {"kind": "echo", "message": "hello "}}
WORD = {"type": "string", "enum": ["you", "all"], "default": "you", "append": ["/say/message"]}
COUNT = {"type": "integer", "minimum": 1, "maximum": 9, "at": ["/say/data"]}
MINE = {"description": "Says hello.", "steps": SAY, "overrides": {"word": WORD, "count": COUNT}}


def ask(caller: Caller, method: str, path: str = "", **how: Any) -> httpx2.Response:
    return caller.ask(method, f"/v1/templates{path}", **how)


def put(caller: Caller, name: str = "mine", **said: Any) -> httpx2.Response:
    return ask(caller, "PUT", f"/{name}", json=MINE | said)


def refused(answer: httpx2.Response, expected: tuple[int, str], *pointers: str) -> str:
    return assert_problem(answer.status_code, answer.headers, answer.json(), expected, pointers).detail


def listed(caller: Caller, path: str = "") -> list[str]:
    return [one["reference"] for one in ask(caller, "GET", path).json()["data"]]


def params(api: Api, job: str) -> Any:
    """What the job's steps were written with."""
    with api.database.read(api.acme.tenant) as tx:
        rows = tx.sql("SELECT params FROM steps WHERE tenant_id = %(tenant)s AND job_id = %(job)s", job=job)
        return [row.params for row in rows]


def accepted(answer: httpx2.Response) -> Any:
    assert answer.status_code == 202, answer.text
    return answer.json()
