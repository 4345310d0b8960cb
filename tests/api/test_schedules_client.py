"""`Millrace.schedules` where it is not the same as the command line, over wires that are cut and to odd servers."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from api.cli import schedule_firings, schedule_terms, schedules
from api.client import ApiError, Millrace, MillraceError, Schedule, connection
from api.client.schedules import OVERLAPS
from deploy.local.servers import Urls
from storage.schedule_model import CatchUp, Outcome, Overlap, ScheduleState
from tests.api.sink import answer, sink
from tests.api.started import Api, CutWire, api_here

JOB = {"steps": {"say": {"kind": "echo", "message": "hi"}}}
NIGHTLY = {"cron": "0 3 * * *", "timezone": "Europe/Berlin", "job": JOB}


@pytest.fixture(scope="module")
def api(servers: Urls, template_database: str, s3_env: Mapping[str, str]) -> Iterator[Api]:
    with api_here(servers, template_database, s3_env) as started:
        yield started


@pytest.fixture
def millrace(api: Api) -> Iterator[Millrace]:
    with Millrace(api.url, api.key) as made:
        for one in made.schedules.list():
            made.schedules.delete(one.id)
        yield made


@pytest.fixture
def nightly(millrace: Millrace) -> Schedule:
    return millrace.schedules.create({**NIGHTLY, "name": "nightly"})


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "TRY_AGAIN_AFTER", (0.01, 0.01))


def test_a_change_that_somebody_came_before_is_refused(millrace: Millrace, nightly: Schedule) -> None:
    assert millrace.schedules.update(nightly.id, {"name": "mine"}, version=1).version == 2
    for act in (
        lambda: millrace.schedules.update(nightly.id, {"name": "theirs"}, version=1),
        lambda: millrace.schedules.delete(nightly.id, version=1),
    ):
        with pytest.raises(ApiError) as caught:
            act()
        assert (caught.value.status, caught.value.code) == (412, "precondition_failed")
    assert millrace.schedules.update(nightly.id, {"name": None}).name is None


def test_a_cut_connection_makes_no_second_schedule_and_no_second_run(api: Api, millrace: Millrace) -> None:
    with CutWire(api.url, [0, None]) as wire, Millrace(wire.url, api.key) as cut:
        made = cut.schedules.create({**NIGHTLY, "overlap": "allow"})
        assert wire.connections == 2
    with CutWire(api.url, [0, None]) as wire, Millrace(wire.url, api.key) as cut:
        fired = cut.schedules.trigger(made.id)
    with CutWire(api.url, [0, None]) as wire, Millrace(wire.url, api.key) as cut:
        assert cut.schedules.backfill(made.id, "2026-01-01T00:00:00Z", "2026-01-03T00:00:00Z").accepted == 2
    assert [one.id for one in millrace.schedules.list()] == [made.id]
    assert [one.job for one in millrace.schedules.runs(made.id, "started")] == [fired.job]


def test_the_words_of_the_client_are_those_of_the_platform() -> None:
    assert tuple(Overlap) == OVERLAPS
    assert tuple(ScheduleState) == schedules.STATES
    assert tuple(Outcome) == schedule_firings.OUTCOMES
    assert tuple(CatchUp) == schedule_terms.CATCH_UPS


def test_what_is_no_answer_of_the_platform_is_said_to_be_none() -> None:
    odd = answer("200 OK", json.dumps({"data": [{}]}).encode())
    with sink([odd]) as server, Millrace(server.url, "mk_x") as millrace:
        acts: list[Callable[[], Any]] = [
            lambda: millrace.schedules.get("sch_x"),
            lambda: list(millrace.schedules.list()),
            lambda: millrace.schedules.trigger("sch_x"),
            lambda: millrace.schedules.backfill("sch_x", "a", "b"),
            lambda: millrace.schedules.preview({}),
            lambda: list(millrace.schedules.runs("sch_x")),
        ]
        for act in acts:
            with pytest.raises(MillraceError, match="not as Millrace writes it"):
                act()
