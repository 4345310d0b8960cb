"""Schedules as code: applied once or often, by one or by many, all of them or none."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from storage import schedules
from storage.database import Database
from storage.model import TenantId
from storage.schedule_model import Schedule
from storage.tenants import ensure
from tasks import applying, scheduling
from tasks.applying import Applied, NamesTaken, SchedulesRefused, Wanted, apply, read
from tasks.errors import ConfigurationError
from tasks.names import KINDS
from tests.scheduler.timetable import ECHO, Timetable

TOML = """
[[schedule]]
tenant = "acme"
name = "nightly"
cron = "0 3 * * *"
timezone = "Europe/Berlin"
exclude = [2026-12-25]

[schedule.job]
priority = "low"

[schedule.job.steps.say]
kind = "echo"
message = "{{schedule.local_date}}"

[[schedule]]
name = "pulse"
every = 60

[schedule.job.steps.say]
kind = "echo"
"""


@pytest.fixture
def timetable(database: Database, tenant: TenantId) -> Timetable:
    return Timetable(database, tenant)


def wanted(name: str = "a", tenant: str = "acme", **fields: Any) -> Wanted:
    rule = {} if fields.keys() & {"cron", "every", "at"} else {"every": 60}
    return Wanted(tenant=tenant, document={"name": name, "job": ECHO, **rule, **fields})


def put(database: Database, *those: Wanted, **how: Any) -> Applied:
    return apply(database, "file", those, **how)


def find(database: Database, name: str = "a", tenant: str = "acme") -> Schedule:
    found = look(database, name, tenant)
    assert found is not None
    return found


def look(database: Database, name: str, tenant: str = "acme") -> Schedule | None:
    with database.platform() as tx:
        return schedules.find_by_name(tx.of(ensure(tx, tenant)), name)


def file(tmp_path: Path, text: str = TOML) -> Path:
    made = tmp_path / "schedules.toml"
    made.write_text(text)
    return made


def refusal(database: Database, *those: Wanted, what: type[SchedulesRefused] = SchedulesRefused, **how: Any) -> str:
    with pytest.raises(what) as refused:
        put(database, *those, **how)
    return str(refused.value)


def test_a_file_makes_its_schedules_and_their_tenants(database: Database, tmp_path: Path) -> None:
    done = put(database, *read(file(tmp_path)))
    assert (sorted(done.created), done.changed, done.deleted) == ([("acme", "nightly"), ("platform", "pulse")], [], [])
    nightly = find(database, "nightly")
    assert (nightly.document["exclude"], nightly.document["job"]["priority"]) == (["2026-12-25"], "low")
    assert (nightly.source, nightly.next_at is not None) == ("file", True)
    assert find(database, "pulse", "platform").document["every"] == 60


def test_what_stands_already_is_not_touched(database: Database, tmp_path: Path) -> None:
    put(database, *read(file(tmp_path)))
    before = find(database, "nightly"), find(database, "pulse", "platform")
    done = put(database, *read(file(tmp_path)))
    assert (len(done.untouched), done.created, done.changed) == (2, [], [])
    assert (find(database, "nightly"), find(database, "pulse", "platform")) == before


def test_one_that_differs_is_changed_and_keeps_its_id_and_its_history(timetable: Timetable) -> None:
    database = timetable.database
    put(database, wanted(every=60))
    before = find(database)
    timetable.put_back(before, 60)
    timetable.turn()
    assert put(database, wanted(every=60, overlap="allow")).changed == [("acme", "a")]
    after = find(database)
    assert (after.id, after.document["overlap"], after.version) == (before.id, "allow", before.version + 1)
    assert after.runs == 1
    assert timetable.outcomes(after) == ["started"]


def test_an_interval_goes_on_from_the_anchor_that_it_had(database: Database, tenant: TenantId) -> None:
    put(database, wanted(every=60))
    long_ago = "2026-01-01T00:00:30Z"
    with database.begin(tenant) as tx:
        tx.sql("UPDATE schedules SET document = document || jsonb_build_object('anchor', %(at)s::text)", at=long_ago)
    assert put(database, wanted(every=60)).untouched == [("acme", "a")]
    put(database, wanted(every=90))
    assert find(database).document["anchor"] == long_ago
    put(database, wanted(every=90, anchor="2026-02-01T00:00:00Z"))
    assert find(database).document["anchor"] == "2026-02-01T00:00:00Z"


def test_what_a_source_no_longer_wants_is_deleted_and_its_jobs_stay(timetable: Timetable) -> None:
    database = timetable.database
    put(database, wanted("a"), wanted("b"))
    gone = find(database, "a")
    timetable.put_back(gone, 60)
    timetable.turn()
    assert put(database, wanted("b")).deleted == [("acme", "a")]
    assert look(database, "a") is None
    assert len(timetable.jobs(gone)) == 1
    assert put(database).deleted == [("acme", "b")]


def test_pruning_can_be_kept_to_some_tenants(database: Database) -> None:
    put(database, wanted("a"), wanted("b", tenant="other"))
    assert put(database, prune_in=()).deleted == []
    assert put(database, prune_in=("other",)).deleted == [("other", "b")]
    assert look(database, "a") is not None


def test_schedules_of_others_are_never_deleted(timetable: Timetable) -> None:
    by_hand = timetable.make(name="by hand")
    apply(timetable.database, "kinds", [wanted("k")])
    put(timetable.database)
    assert timetable.find(by_hand) == by_hand
    assert look(timetable.database, "k") is not None


@pytest.mark.parametrize(("source", "maker"), [(None, "over HTTP"), ("kinds", "by the source 'kinds'")])
def test_a_name_that_stands_from_elsewhere_is_refused(timetable: Timetable, source: str | None, maker: str) -> None:
    made = timetable.make(name="a")
    with timetable.database.begin(timetable.tenant) as tx:
        tx.sql("UPDATE schedules SET source = %(source)s WHERE tenant_id = %(tenant)s", source=source)
    before = timetable.find(made)
    said = refusal(timetable.database, wanted("a", every=5), wanted("new"), where="f.toml", what=NamesTaken)
    assert said.startswith("f.toml: a: /name: tenant 'acme' has a schedule of this name")
    assert maker in said
    assert timetable.find(made) == before
    assert look(timetable.database, "new") is None


def test_a_paused_schedule_stays_paused(timetable: Timetable) -> None:
    database = timetable.database
    put(database, wanted(every=60))
    with database.begin(timetable.tenant) as tx:
        locked = schedules.lock(tx, find(database).id)
        assert locked is not None
        scheduling.pause(tx, locked, reason="not tonight")
    assert put(database, wanted(every=60)).untouched == [("acme", "a")]
    put(database, wanted(every=30))
    after = find(database)
    assert (after.document["every"], after.paused_reason, after.due_at) == (30, "not tonight", None)


def test_all_flaws_are_told_at_once_and_nothing_is_applied(database: Database) -> None:
    said = refusal(
        database,
        wanted("good"),
        wanted("odd", cron="61 * * * *"),
        wanted("worse", job={"steps": {"x": {"kind": "eco"}}}, timezone="Europe/Berln"),
        where="f.toml",
    )
    assert [line.split(": ")[:3] for line in said.splitlines()] == [
        ["f.toml", "odd", "/cron"],
        ["f.toml", "worse", "/timezone"],
        ["f.toml", "worse", "/job/steps/x/kind"],
    ]
    assert "did you mean 'Europe/Berlin'?" in said
    assert look(database, "good") is None


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (Wanted(tenant="acme", document={"every": 5, "job": ECHO}), "schedule 1: /name: is missing"),
        (wanted(tenant=""), "a: /tenant: must be a tenant's name"),
    ],
)
def test_each_has_a_name_and_a_tenant(database: Database, odd: Wanted, said: str) -> None:
    told = refusal(database, odd, wanted("b", cron="x"))
    assert said in told
    assert "b: /cron" in told


def test_a_name_stands_once_in_a_tenant(database: Database) -> None:
    assert "a: /name: stands there twice" in refusal(database, wanted("a"), wanted("a", every=5))
    assert len(put(database, wanted("a"), wanted("a", tenant="other")).created) == 2


def test_a_date_that_has_passed_spoils_no_file(database: Database) -> None:
    past = wanted("past", at="2020-01-01T00:00:00Z")
    assert put(database, past, wanted("a")).over == [("acme", "past")]
    assert look(database, "past") is None
    put(database, wanted("past", every=60), wanted("a"))
    assert put(database, past, wanted("a")).changed == [("acme", "past")]
    assert find(database, "past").next_at is None
    assert len(put(database, past, wanted("a")).untouched) == 2


def test_one_that_could_never_have_fired_is_a_flaw(database: Database) -> None:
    bounds = {"start_at": "2020-01-01T00:00:00Z", "end_at": "2020-01-02T00:00:00Z"}
    assert "a: /cron: never fires" in refusal(database, wanted(cron="0 0 1 6 *", **bounds))


def test_a_dry_run_says_what_would_be_and_does_nothing(database: Database) -> None:
    put(database, wanted("a"), wanted("b"))
    before = find(database)
    done = put(database, wanted("a", every=5), wanted("c", tenant="new"), dry_run=True)
    assert (done.created, done.changed, done.deleted) == ([("new", "c")], [("acme", "a")], [("acme", "b")])
    assert find(database) == before
    assert look(database, "b") is not None
    with database.platform() as tx:
        assert tx.sql("SELECT count(*) FROM tenants WHERE name = 'new'").scalar_one() == 0


@pytest.mark.usefixtures("tenant")
def test_many_at_once_make_each_schedule_once(database: Database) -> None:
    those = [wanted(str(number)) for number in range(10)]
    with ThreadPoolExecutor(5) as pool:
        done = list(pool.map(lambda _: put(database, *those), range(10)))
    assert sorted(len(one.created) for one in done) == [0] * 9 + [10]
    assert {find(database, str(number)).version for number in range(10)} == {1}


def test_many_at_once_with_the_firing_loop_lose_no_firing(timetable: Timetable) -> None:
    database = timetable.database
    those = [wanted(str(number), overlap="allow") for number in range(5)]
    put(database, *those)
    for one in (found := [find(database, str(number)) for number in range(5)]):
        timetable.put_back(one, 60)
    changed = [replace(one, document={**one.document, "catch_up": "all"}) for one in those]
    with ThreadPoolExecutor(5) as pool:
        tasks = [pool.submit(put, database, *changed) for _ in range(4)]
        turns = [pool.submit(timetable.turn) for _ in range(4)]
        assert [task.result() for task in tasks]
        assert [one.result() for one in turns]
    timetable.turn()
    assert [len(timetable.runs(one)) for one in found] == [1] * 5


def test_kinds_bring_their_schedules(database: Database) -> None:
    table = {"tenant": "acme", "name": "nightly", "cron": "0 3 * * *", "job": ECHO}
    kinds = {"echo": replace(KINDS["echo"], schedules=(table,))}
    assert apply(database, "kinds", applying.of_kinds(kinds)).created == [("acme", "nightly")]
    assert find(database, "nightly").source == "kinds"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[schedules]]\nname = 'a'", "/schedules: unknown; did you mean 'schedule'?"),
        ("[schedule]\nname = 'a'", "/schedule: each schedule begins with [[schedule]]"),
        ("[[schedule]]\nname = 'a'\nmax_runs = nan", "a: this is not JSON"),
        (
            "[[schedule]]\nname = 'a'\n[schedule.job.metadata]\nx = '\\u0000'".replace("'", '"'),
            "holds the character NUL",
        ),
    ],
)
def test_a_flawed_file_names_the_place(tmp_path: Path, text: str, said: str) -> None:
    path = file(tmp_path, text)
    with pytest.raises(SchedulesRefused) as refused:
        read(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert said in str(refused.value)


@pytest.mark.parametrize("content", [b"[[schedule", b"\xff"])
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, content: bytes) -> None:
    (path := tmp_path / "odd.toml").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"odd\.toml"):
        read(path)


def test_times_and_dates_may_be_those_of_toml(database: Database, tmp_path: Path) -> None:
    text = TOML.replace("every = 60", 'at = 2099-06-01T12:00:00\ntimezone = "Asia/Tokyo"').replace("pulse", "once")
    put(database, *read(file(tmp_path, text)))
    assert find(database, "once", "platform").document["at"] == "2099-06-01T03:00:00Z"
