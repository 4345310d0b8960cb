"""The doctor before real servers: what is well, what is wrong, and that it says no secret."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from click.testing import CliRunner
from rich.console import Console
from sqlalchemy.engine import make_url

from deploy.doctor import broker, clocks, configuration, fleet, masking, objects, place, printing
from deploy.doctor.__main__ import doctor
from deploy.doctor.database import check as database_check
from deploy.doctor.errors import NoPlatform
from deploy.doctor.examination import examine
from deploy.doctor.findings import Finding, Level, fail, ok, warn, worst
from storage import processes, queues, workers
from storage.database import Database
from storage.objects.settings import ObjectSettings
from storage.processes import Known
from storage.settings import DatabaseSettings
from tests.faults.proxy import proxied

ROOT = Path(__file__).parent.parent.parent
SECRET_KEY = "s3kr1t-" * 5
NOWHERE = "127.0.0.1:1"


@pytest.fixture
def env(database_url: str, broker_url: str, s3_env: Mapping[str, str], bucket: ObjectSettings) -> dict[str, str]:
    """What a process of a platform on the test's servers has in its environment."""
    assert bucket.bucket
    return {**s3_env, "DATABASE_URL": database_url, "CELERY_BROKER_URL": broker_url, "SECRET_KEY": SECRET_KEY}


def levels(findings: list[Finding]) -> dict[str, Level]:
    """The worst of what is said about each."""
    return {about: worst([one for one in findings if one.about == about]) for about in {one.about for one in findings}}


def bad(findings: list[Finding]) -> list[str]:
    return [f"{one.about}: {one.sentence}" for one in findings if one.level is not Level.OK]


def serve(database: Database) -> None:
    """Workers and loops as they should be."""
    number = version("millrace")
    detail = {"loops": list(fleet.LOOPS)}
    with database.platform() as tx:
        workers.seen(tx, "all@here/h/1", queues=["images", "ai", "calls", "default"], slots=4, for_seconds=60)
        for role in ("scheduler", "scaler"):
            known = Known(name=f"{role}@h/1", role=role, version=number, metrics_url=None, detail=detail)
            processes.seen(tx, known)


def test_a_platform_that_is_well_has_no_findings_but_good_ones(env: dict[str, str], database: Database) -> None:
    serve(database)
    found = examine(env)
    # The servers of the tests keep nothing, so that they are fast.
    assert [words.split(" ")[:3] for words in bad(found)] == [["database:", "fsync", "or"], ["broker:", "It", "keeps"]]
    assert levels(found).keys() == {
        *("configuration", "database", "schema", "broker", "objects", "clocks", "processes", "work")
    }


def test_what_is_stuck_is_told_by_its_code(env: dict[str, str], database: Database) -> None:
    serve(database)
    with database.platform() as tx:
        queues.pause(tx, "images")
    [cause] = [one for one in examine(env) if one.code]
    assert (cause.code, cause.level, cause.facts["subject"]) == ("queue_paused", Level.WARN, "images")
    assert cause.mend is not None


@pytest.fixture
def frozen(env: dict[str, str]) -> Iterator[dict[str, str]]:
    """All three servers take connections and say nothing more."""
    target = make_url(env["DATABASE_URL"])
    assert target.port is not None
    with proxied(target.port) as proxy:
        proxy.stall()
        at = f"127.0.0.1:{proxy.port}"
        url = target.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
        yield {
            **env,
            "DATABASE_URL": url,
            "CELERY_BROKER_URL": f"redis://{at}/0",
            "AWS_ENDPOINT_URL_S3": f"http://{at}",
        }


def test_whatever_hangs_it_ends_in_time_and_names_all_three(frozen: dict[str, str]) -> None:
    found = examine(frozen, seconds=4.5)
    assert {"database_down", "broker_down", "objects_down"} <= {one.code for one in found}
    told = levels(found)
    assert (told["database"], told["broker"], told["objects"]) == (Level.FAIL, Level.FAIL, Level.FAIL)


def test_servers_that_are_not_there_are_named_at_once(env: dict[str, str]) -> None:
    gone = {
        "DATABASE_URL": f"postgresql://me:hunter22@{NOWHERE}/nothing",
        "CELERY_BROKER_URL": f"redis://:hunter22@{NOWHERE}/0",
        "AWS_ENDPOINT_URL_S3": f"http://{NOWHERE}",
    }
    found = examine({**env, **gone})
    assert {"database_down", "broker_down", "objects_down"} <= {one.code for one in found}
    assert not any("hunter22" in str(one) for one in found)


def test_every_flaw_of_the_configuration_is_told_at_once_with_whose_it_is(env: dict[str, str]) -> None:
    wrong = {**env, "LEASE_SECONDS": "soon", "PORT": "http", "LOG_FORMAT": "xml", "RETENTION_DAYS": "never"}
    del wrong["STORAGE_URL"]
    told = {one.sentence.split(" ")[0].rstrip(":"): one.sentence for one in configuration.check(wrong)}
    assert told.keys() == {"LEASE_SECONDS", "PORT", "LOG_FORMAT", "RETENTION_DAYS", "STORAGE_URL"}
    assert told["PORT"].endswith("(API)")
    assert told["LEASE_SECONDS"].endswith("(workers, scheduler)")


def test_settings_that_work_but_are_unwise_are_warnings(env: dict[str, str]) -> None:
    del env["SECRET_KEY"]
    env |= {"CELERY_BROKER_URL": "amqp://guest:guest@127.0.0.1//", "PUBLIC_URL": "http://example.com"}
    found = configuration.check(env)
    assert {one.level for one in found} == {Level.WARN}
    assert [one.sentence.split(" ")[0] for one in found] == ["SECRET_KEY", "CACHE_URL", "PUBLIC_URL"]


def test_a_schema_of_another_version_is_told(env: dict[str, str], database: Database) -> None:
    def schema() -> Finding:
        return next(one for one in check_database(env) if one.about == "schema")

    assert schema().level is Level.OK
    for revision, level in (("0001", Level.FAIL), ("9999", Level.WARN)):
        with database.platform() as tx:
            tx.sql("UPDATE alembic_version SET version_num = %(number)s", number=revision)
        assert schema().level is level
        assert f"revision {revision}" in schema().sentence
    with database.platform() as tx:
        tx.sql("DROP TABLE alembic_version")
    assert "no tables" in schema().sentence


def check_database(env: Mapping[str, str]) -> list[Finding]:
    return database_check(DatabaseSettings(url=env["DATABASE_URL"], direct_url=env["DATABASE_URL"]))


def test_long_transactions_and_waits_for_locks_are_told(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    monkeypatch.setattr("deploy.doctor.database.LONG_SECONDS", 0.0)
    with psycopg.connect(database_url) as holder:
        holder.execute("LOCK TABLE audit IN ACCESS EXCLUSIVE MODE")
        found = check_database(env)
    assert any("A transaction is open" in words for words in bad(found))


def test_connections_that_are_nearly_used_up_are_told(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.doctor.database.FULL_SHARE", 0.0)
    assert any("soon processes will be refused" in words for words in bad(check_database(env)))


@pytest.fixture
def tunable(broker_url: str) -> Iterator["redis.Redis"]:
    """The broker, whose settings are put back afterwards."""
    with redis.Redis.from_url(broker_url, decode_responses=True) as client:
        kept = {name: client.config_get(name)[name] for name in ("maxmemory", "maxmemory-policy")}
        yield client
        for name, value in kept.items():
            client.config_set(name, value)


def test_a_redis_that_drops_keys_is_a_failure(broker_url: str, tunable: "redis.Redis") -> None:
    tunable.config_set("maxmemory-policy", "allkeys-lru")
    assert [one.sentence for one in broker.check(broker_url, "m") if one.level is Level.FAIL] == [
        "It drops keys when it is full (maxmemory-policy allkeys-lru): messages and sign-ins would be lost."
    ]


def test_a_redis_that_is_full_takes_no_messages(broker_url: str, tunable: "redis.Redis") -> None:
    tunable.config_set("maxmemory", "1")
    [found] = broker.check(broker_url, "m")
    assert (found.level, "it is full" in found.sentence) == (Level.FAIL, True)


def test_a_wrong_password_of_the_broker_is_told_without_it(broker_url: str) -> None:
    wrong = make_url(broker_url).set(password="not-the-password").render_as_string(hide_password=False)
    [found] = broker.check(wrong, "m")
    assert (found.level, "not-the-password" in found.sentence) == (Level.FAIL, False)


def test_a_bucket_that_is_not_there_is_told_and_one_that_is_is_left_empty(
    bucket: ObjectSettings, bucket_client: Any
) -> None:
    assert [one.level for one in objects.check(bucket)] == [Level.OK]
    left = bucket_client.list_objects_v2(Bucket=bucket.bucket, Prefix=objects.FOLDER)
    assert left["KeyCount"] == 0
    [found] = objects.check(replace(bucket, bucket="no-such-bucket"))
    assert (found.level, found.facts["step"]) == (Level.FAIL, "reach")
    [found] = objects.check(replace(bucket, secret_key="wrong"))
    assert found.level is Level.FAIL


@pytest.mark.parametrize(
    ("skew", "level"),
    [((0.2, 0.1), Level.OK), ((-7.0, 0.5), Level.WARN), ((5.2, 0.5), Level.OK), ((400, 1), Level.FAIL)],
)
def test_clocks_are_judged_by_what_is_sure(skew: clocks.Skew, level: Level) -> None:
    assert worst(clocks.check({"the database": skew})) is level


def test_the_clocks_of_servers_on_this_machine_agree(env: dict[str, str]) -> None:
    endpoint = env["AWS_ENDPOINT_URL_S3"]
    workers_at = {"a worker": endpoint, "another": f"http://{NOWHERE}"}
    found = clocks.read(env["DATABASE_URL"], (env["CELERY_BROKER_URL"], "m"), endpoint, workers_at)
    assert found.keys() == {"the database", "the broker", "the object store", "a worker"}
    assert worst(clocks.check(found)) is Level.OK


def test_missing_workers_loops_and_mixed_versions_are_told(database: Database) -> None:
    known = Known(name="s@h/1", role="scheduler", version="0.0.1", metrics_url=None, detail={"loops": ["relay"]})
    with database.platform() as tx:
        workers.seen(tx, "images@h/1", queues=["images"], slots=2, for_seconds=60, version="0.0.2")
        processes.seen(tx, known)
    with database.platform_read() as tx:
        told = bad(fleet.check(fleet.read(tx)))
    assert any("No worker serves the queue 'ai'" in words for words in told)
    assert any("No process keeps the loops reap, sweep, count, fire, batch, deliver" in words for words in told)
    assert any("No scaler runs" in words for words in told)
    assert any("0.0.1: scheduler; 0.0.2: images" in words for words in told)


def test_no_secret_is_in_what_is_said() -> None:
    env = {
        "SECRET_KEY_FALLBACKS": "older-key-1,older-key-2",
        "CELERY_BROKER_URL": "sentinel://:pa%3Ass1@h:1/0;sentinel://:other-pass@i:2",
    }
    said = fail(
        "broker",
        "refused: older-key-2 pa:ss1 redis://me:word@host other-pass",
        "see postgresql://u:p@h/n",
        x="older-key-1",
    )
    masked = masking.masked(said, masking.secrets_in(env))
    assert masked.sentence == f"refused: {masking.MASK} {masking.MASK} redis://{masking.MASK}@host {masking.MASK}"
    assert (masked.mend, masked.facts) == (f"see postgresql://{masking.MASK}@h/n", {"x": masking.MASK})


def test_the_exit_status_goes_by_the_worst() -> None:
    assert [worst(found).rank for found in ([], [ok("a", "b")], [warn("a", "b", "c"), ok("a", "b")])] == [0, 0, 1]
    assert worst([warn("a", "b", "c"), fail("a", "b", "c")]).rank == 2


def test_the_platform_meant_is_the_one_given_the_environments_or_the_one_that_runs_here(tmp_path: Path) -> None:
    home = tmp_path / ".millrace"
    home.mkdir()
    below = tmp_path / "a" / "b"
    nowhere = place.find({"X": "1"}, None, below)
    assert (nowhere.env, "no platform runs here" in nowhere.words) == ({"X": "1"}, True)
    with pytest.raises(NoPlatform, match="no platform runs"):
        place.find({}, home, below)
    (home / "run.json").write_text(json.dumps({"env": {"DATABASE_URL": "postgresql://here"}}))
    assert place.find({"X": "1"}, None, below).env == {"X": "1", "DATABASE_URL": "postgresql://here"}
    given = {"DATABASE_URL": "postgresql://given"}
    assert place.find(given, None, below).env == given
    assert place.find(given, home, below).env == {"DATABASE_URL": "postgresql://here"}
    (home / "run.json").write_text("{")
    with pytest.raises(NoPlatform, match="cannot be understood"):
        place.find({}, home, below)


def run(home: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "api.cli", "doctor", *words],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "COLUMNS": "300", **env},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_prints_json_and_its_exit_status_says_how_it_stands(
    env: dict[str, str], tmp_path: Path, database: Database
) -> None:
    (tmp_path / "deploy").mkdir()  # of another project, in which it is called
    serve(database)
    done = run(tmp_path, "--json", **env, LEASE_SECONDS="soon")
    told = json.loads(done.stdout)
    assert (done.returncode, told["state"], told["where"]) == (2, "fail", "this environment")
    first = told["findings"][0]
    assert first.keys() == {"about", "level", "sentence", "mend", "code", "facts"}
    assert (first["about"], first["level"]) == ("configuration", "fail")
    assert SECRET_KEY not in done.stdout + done.stderr


def test_a_home_in_which_nothing_runs_is_refused_in_one_line(tmp_path: Path) -> None:
    refused = CliRunner().invoke(doctor, ["--home", str(tmp_path)])
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr.startswith("error: no platform runs in")


def test_people_are_told_what_to_do_below_what_is_wrong() -> None:
    console = Console(width=20, file=io.StringIO())  # nobody looks: lines stay whole, so that they can be searched
    cause = replace(warn("work", "The queue 'images' is paused.", "Let it go on."), code="queue_paused")
    printing.show(console, [ok("database", "It answers."), cause], "this environment")
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        "Looking at this environment.",
        "",
        "database",
        "  ok   It answers.",
        "",
        "work",
        "  warn The queue 'images' is paused.",
        "       → Let it go on. (docs/stuck.md#queue_paused)",
        "",
        "It works; see what has a warning.",
    ]


def test_what_a_server_says_cannot_steer_the_terminal() -> None:
    console = Console(width=80, file=io.StringIO())
    printing.show(console, [fail("broker", "it said \x1b[2J", "mend")], "here")
    assert isinstance(console.file, io.StringIO)
    assert "\x1b" not in console.file.getvalue()
    assert "it said \ufffd[2J" in console.file.getvalue()
