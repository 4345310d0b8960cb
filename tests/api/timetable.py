"""Schedules over HTTP, and the clock's part by hand."""

from collections.abc import Mapping
from typing import Any

import httpx2

from scheduler.fire import turn
from tests.api.conftest import Api, Caller
from tests.documents import ECHO

NIGHTLY = {"cron": "0 3 * * *", "timezone": "Europe/Berlin", "job": ECHO}


def ask(
    caller: Caller, method: str, path: str, headers: Mapping[str, str] | None = None, **how: Any
) -> httpx2.Response:
    """A request below /v1/schedules."""
    sent = {"Authorization": f"Bearer {caller.key}", **(headers or {})}
    return caller.http.request(method, f"/v1/schedules{path}", headers=sent, **how)


def made(caller: Caller, **fields: Any) -> Any:
    """A new schedule's document: NIGHTLY, with other fields."""
    answer = ask(caller, "POST", "", json=NIGHTLY | fields)
    assert answer.status_code == 201, answer.text
    return answer.json()


def every(caller: Caller, seconds: int = 60, **fields: Any) -> Any:
    """A new schedule's document with an interval instead of a pattern."""
    return made(caller, **{"cron": None, "every": seconds, **fields})


def shown(caller: Caller, schedule: Any) -> Any:
    """The schedule's document as it stands."""
    answer = ask(caller, "GET", f"/{schedule['id']}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def runs(caller: Caller, schedule: Any, query: str = "") -> list[Any]:
    """The first page of what became of its firings."""
    answer = ask(caller, "GET", f"/{schedule['id']}/runs{query}")
    assert answer.status_code == 200, answer.text
    data: list[Any] = answer.json()["data"]
    return data


def fire(api: Api, schedule: Any, *, late_seconds: float = 0.5) -> None:
    """Let its next nominal time be so long ago, and a firing loop come by."""
    with api.database.platform() as tx:
        tx.sql(
            "UPDATE schedules SET next_at = at, due_at = at"
            " FROM (SELECT clock_timestamp() - make_interval(secs => %(late)s) AS at) AS moved WHERE id = %(id)s",
            id=schedule["id"],
            late=late_seconds,
        )
    turn(api.database)


def rows(api: Api, table: str) -> int:
    """How many schedules or firings of acme's there are."""
    with api.database.read(api.acme.tenant) as tx:
        found: int = tx.sql(f"SELECT count(*) FROM {table} WHERE tenant_id = %(tenant)s").scalar_one()
    return found
