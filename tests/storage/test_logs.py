"""What a process writes to its log, and how lines about jobs come to be kept."""

import contextlib
import io
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import structlog
from structlog.contextvars import bound_contextvars

from storage import job_log_pages
from storage.database import Database
from storage.job_log_pages import Cursor, LogLine
from storage.model import Job, TenantId
from storage.settings import DatabaseSettings
from storage.telemetry import log_keeping, logs
from storage.telemetry.log_lines import line_of
from storage.telemetry.settings import from_env
from tests.documents import put_in
from tests.waiting import until

log = logging.getLogger("tests.logs")

Written = Callable[[], list[dict[str, Any]]]


@contextlib.contextmanager
def logging_as(env: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Log as a process of this environment does; what else this process logs by stays as it was."""
    root, structlogs = logging.getLogger(), structlog.get_config()
    level, said = root.level, io.StringIO()
    monkeypatch.setattr(sys, "stderr", said)
    logs.set_up(from_env(env, "worker"))
    try:
        yield said
    finally:
        logs.end()
        root.removeHandler(logs._handlers.pop())
        root.setLevel(level)
        logging.captureWarnings(False)
        structlog.configure(**structlogs)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[Written]:
    """The lines of the log so far, as JSON."""
    with logging_as({}, monkeypatch) as said:
        yield lambda: [json.loads(line) for line in said.getvalue().splitlines()]


@pytest.fixture
def keeping(written: Written, database: Database) -> None:
    logs.keep(lambda: database)


def kept(database: Database, tenant: TenantId, job: Job) -> list[LogLine]:
    """All but the job's events."""
    with database.read(tenant) as tx:
        found, _ = job_log_pages.page(tx, job.id, Cursor(), 2000)
    return [line for line in found if not line.is_event]


def about(tenant: TenantId, job: Job) -> contextlib.AbstractContextManager[object]:
    return bound_contextvars(tenant=tenant, job=job.id)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (("relay.sent steps=%s queue=%s", 3, "images"), {"event": "relay.sent", "steps": 3, "queue": "images"}),
        (("scale.stands_by another scaler leads",), {"event": "scale.stands_by", "message": "another scaler leads"}),
        (("deliver.off reason=no key, so nothing",), {"event": "deliver.off", "reason": "no key, so nothing"}),
        (("beat.imported %s", "a; b=3"), {"event": "beat.imported", "message": "a; b=3"}),
        (("step.held seconds=%.2f of=%s", 1.23456, None), {"event": "step.held", "seconds": 1.23, "of": None}),
        (("a.b share=%d%% of=%s-%s", 50, 1, 2), {"event": "a.b", "share": "50%", "of": "1-2"}),
        (("a.b given=%s", {"n": [1, True]}), {"event": "a.b", "given": {"n": [1, True]}}),
        (("a.b text=%s", "x=1 event=no\nat=never"), {"event": "a.b", "text": "x=1 event=no\nat=never"}),
        (("a.b level=%s at=%s", "high", 5), {"event": "a.b", "level": "info", "level_": "high", "at_": 5}),
        (("a.b reason=%s", OSError("gone")), {"event": "a.b", "reason": "gone"}),
        (("a.b number=%s", float("inf")), {"event": "a.b", "number": "inf"}),
        (("Task %(name)s received", {"name": "echo"}), {"event": "Task echo received", "logger": "tests.logs"}),
        (("error: %s", "it is late"), {"event": "error: it is late", "logger": "tests.logs"}),
    ],
)
def test_a_call_becomes_an_event_with_fields_that_keep_their_types(
    written: Written, call: tuple[Any, ...], said: dict[str, Any]
) -> None:
    log.info(*call)
    (line,) = written()
    assert {name: line.get(name) for name in said} == said
    assert line["role"] == "worker"
    assert line["process"].startswith("worker@")
    assert line["process"].endswith(f"/{os.getpid()}")


def test_a_call_that_cannot_be_understood_is_told_of_and_breaks_nothing() -> None:
    line = line_of(logging.LogRecord("x", logging.INFO, "x.py", 1, "a.b wrong=%s", (1, 2), None))
    assert (line.event, line.level, line.fields["template"]) == ("log.unreadable", "error", "a.b wrong=%s")


def test_a_line_bears_what_is_being_worked_on_and_its_own_fields_win(written: Written) -> None:
    with bound_contextvars(request="r1", tenant="t1", job="j1"):
        log.warning("a.b job=%s", "j2")
    log.warning("a.b")
    first, second = written()
    assert (first["request"], first["tenant"], first["job"], first["level"]) == ("r1", "t1", "j2", "warning")
    assert "request" not in second


def test_an_error_is_told_with_its_type_its_words_and_where_it_was_raised(written: Written) -> None:
    try:
        raise ValueError("no mk_abcdefghijklmnopqrstuvwxyz is known")
    except ValueError:
        log.exception("step.crashed step=%s", "stp_1")
    (line,) = written()
    assert (line["event"], line["level"], line["step"]) == ("step.crashed", "error", "stp_1")
    assert (line["error"]["type"], line["error"]["message"]) == ("ValueError", "no mk_*** is known")
    assert "in test_an_error_is_told" in line["error"]["stack"]
    assert "mk_abc" not in line["error"]["stack"].replace('ValueError("no mk_', "")  # but where the source has it


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("password", "hunter2", "***"),
        ("api_key", "abc", "***"),
        ("Authorization", "Bearer abc", "***"),
        ("key_id", "key_7", "key_7"),
        ("url", "https://me:hunter2@example.org/x", "https://me:***@example.org/x"),
        ("said", "mk_0123456789abcdefghij", "mk_***"),
        ("said", "Authorization: Bearer eyJhbGciOi.J9", "Authorization: Bearer ***"),
        ("said", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_***"),
        (
            "given",
            {"nested": {"token": "abc"}, "n": ["mk_0123456789abcdefghij"]},
            {"nested": {"token": "***"}, "n": ["mk_***"]},
        ),
    ],
)
def test_secrets_are_not_written(written: Written, name: str, value: object, shown: object) -> None:
    log.info(f"a.b {name}=%s", value)
    (line,) = written()
    assert line[name] == shown


def test_what_is_very_long_is_cut(written: Written) -> None:
    log.info("a.b text=%s many=%s", "x" * 100_000, list(range(1000)))
    (line,) = written()
    assert (len(line["text"]), len(line["many"])) == (2001, 50)


def test_structlogs_own_loggers_are_written_the_same_way(written: Written) -> None:
    structlog.get_logger("kinds").info("kind.said", words=3, password="hunter2")
    (line,) = written()
    assert (line["event"], line["words"], line["password"], line["level"]) == ("kind.said", 3, "***", "info")


def test_on_a_terminal_lines_are_for_people_and_cannot_steer_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with logging_as({"LOG_FORMAT": "console", "LOG_LEVEL": "warning"}, monkeypatch) as said:
        log.info("not.shown")
        log.info("scheduler.ready loops=%s", "relay")  # `make up` waits for it
        log.warning("a.b said=%s", "\x1b[2Jhello")
    ready, odd = said.getvalue().splitlines()
    assert "scheduler.ready" in ready
    assert r"\x1b[2Jhello" in odd


@pytest.mark.usefixtures("keeping")
def test_lines_about_a_job_are_kept_with_it_in_their_order(
    database: Database, tenant: TenantId, written: Written
) -> None:
    job = put_in(database, tenant)
    with about(tenant, job):
        log.debug("not.kept")
        log.info("a library's words")
        log.info("step.began n=%s", 1)
        log.info("step.ended outcome=%s", "succeeded")  # an event of the job says so
        log.warning("a library's warning")
        log.error("step.crashed reason=%s", OSError("10.0.0.7 is away"), exc_info=ValueError("x"))
    log.info("of.nobody")
    found = until(lambda: kept(database, tenant, job))
    assert [line.event for line in found] == ["step.began", "a library's warning", "step.crashed"]
    assert found[0].fields == {"n": 1}
    assert (found[2].private, found[2].error and found[2].error["type"]) == (frozenset({"reason"}), "ValueError")


def test_lines_below_the_level_that_is_written_are_kept_all_the_same_unless_they_are_off(
    database: Database, tenant: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = put_in(database, tenant)
    for env in ({"LOG_LEVEL": "ERROR"}, {"JOB_LOGS": "off"}):
        with logging_as(env, monkeypatch) as said, about(tenant, job):
            logs.keep(lambda: database)
            log.info("step.began in=%s", env)
            logs.end()
        assert bool(said.getvalue()) is ("JOB_LOGS" in env)
    assert [line.fields for line in kept(database, tenant, job)] == [{"in": {"LOG_LEVEL": "ERROR"}}]


@pytest.mark.usefixtures("keeping")
def test_what_waits_is_written_at_the_end(database: Database, tenant: TenantId) -> None:
    job = put_in(database, tenant)
    with about(tenant, job):
        for n in range(700):
            log.info("step.said n=%s", n)
    logs.end()
    assert [line.fields["n"] for line in kept(database, tenant, job)] == list(range(700))


def test_while_the_database_is_away_lines_wait_and_nobody_who_logs_does(
    database: Database, tenant: TenantId, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, back = put_in(database, tenant), threading.Event()
    nowhere = Database(DatabaseSettings(url="postgresql://x@127.0.0.1:1/x", direct_url="postgresql://x@127.0.0.1:1/x"))
    monkeypatch.setattr(log_keeping, "MOST_WAITING", 5)
    monkeypatch.setattr(log_keeping, "PAUSES", (0.05,))
    logs.keep(lambda: database if back.is_set() else nowhere)
    with about(tenant, job):
        for n in range(8):
            log.info("step.said n=%s", n)
    until(lambda: "logs.put_off" in {line["event"] for line in written()})
    assert kept(database, tenant, job) == []
    back.set()
    found = until(lambda: kept(database, tenant, job))
    assert [line.fields["n"] for line in found] == [0, 1, 2, 3, 4], "the newest have no room"
    dropped = until(lambda: [line for line in written() if line["event"] == "logs.dropped"])
    assert dropped[0]["lines"] == 3
    nowhere.close()


def test_a_schema_without_the_table_costs_the_lines_and_nothing_else(
    database: Database, tenant: TenantId, written: Written
) -> None:
    job = put_in(database, tenant)
    with database.platform() as tx:
        tx.sql("ALTER TABLE job_logs RENAME TO elsewhere")
    logs.keep(lambda: database)
    with about(tenant, job):
        log.info("step.said again=%s", 0)
        until(lambda: "logs.refused" in {line["event"] for line in written()})
        with database.platform() as tx:
            tx.sql("ALTER TABLE elsewhere RENAME TO job_logs")
        log.info("step.said again=%s", 1)
    assert [line.fields["again"] for line in until(lambda: kept(database, tenant, job))] == [1]


def test_a_child_after_a_fork_keeps_its_own_lines_and_its_parent_its_own(
    database: Database, database_url: str, tenant: TenantId
) -> None:
    job = put_in(database, tenant)
    program = f"""
import logging, os
from storage.database import Database
from storage.settings import DatabaseSettings
from storage.telemetry import logs
from storage.telemetry.settings import from_env
from structlog.contextvars import bound_contextvars

logs.set_up(from_env({{}}, "worker"))
logs.keep(lambda: Database(DatabaseSettings(url={database_url!r}, direct_url={database_url!r})))
with bound_contextvars(tenant={tenant!r}, job={job.id!r}):
    logging.info("before.fork")
    child = os.fork()
    logging.info("in.child" if child == 0 else "in.parent")
    if child == 0:
        logs.end()
        os._exit(0)
    os.waitpid(child, 0)
"""
    subprocess.run([sys.executable, "-c", program], check=True, stderr=subprocess.DEVNULL)
    found = {line.event: line.process for line in kept(database, tenant, job)}
    assert set(found) == {"before.fork", "in.parent", "in.child"}
    assert found["before.fork"] == found["in.parent"] != found["in.child"]
