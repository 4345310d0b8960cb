"""What a real worker logs, and what of it is kept with the job."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

from storage import job_log_pages
from storage.database import Database
from storage.job_log_pages import Cursor, LogLine
from storage.model import Job, JobState, TenantId
from tests.documents import put_in
from tests.tasks.working import Worker
from tests.waiting import until

SLOW = {"steps": {"say": {"kind": "echo", "sleep_seconds": 100}}}


def kept(database: Database, tenant: TenantId, job: Job) -> list[LogLine]:
    with database.read(tenant) as tx:
        found, _ = job_log_pages.page(tx, job.id, Cursor(), 100)
    return [line for line in found if line.event.startswith(("step.", "lease."))]


def test_every_line_is_json_with_the_ids_of_its_step_and_those_about_a_job_are_kept_with_it(
    worker: Worker, database: Database, tenant: TenantId, read: Callable[[Job], Job], tmp_path: Path
) -> None:
    quick = put_in(database, tenant)
    with worker(STOP_GRACE_SECONDS="0") as process:
        until(lambda: read(quick).state is JobState.SUCCEEDED)
        slow = put_in(database, tenant, SLOW)
        until(lambda: kept(database, tenant, slow))
        process.send_signal(signal.SIGTERM)  # the slot is killed, and its parent ends with what it has to tell
        process.wait(timeout=20)
    said = (tmp_path / "worker.log").read_text().splitlines()
    others = {text for text in said if not text.startswith("{")}
    assert others <= {"", "worker: Warm shutdown (MainProcess)"}, "Celery's signal handler writes past all loggers"
    lines = [json.loads(text) for text in said if text not in others]
    assert {line["role"] for line in lines} == {"worker"}
    (ready,) = [line for line in lines if " ready." in line["event"]]
    assert ready["logger"].startswith("celery.")
    (ended,) = [line for line in lines if line["event"] == "step.ended"]
    ids = (tenant, quick.id, quick.steps[0].id, 1, "echo")
    assert tuple(ended[name] for name in ("tenant", "job", "step", "attempt", "kind")) == ids
    assert (ended["outcome"], ended["level"], type(ended["seconds"])) == ("succeeded", "info", float)

    started, end = kept(database, tenant, quick)
    assert (started.event, started.step, started.attempt, started.fields["kind"]) == ("step.running", "say", 1, "echo")
    assert (end.event, end.process) == ("step.succeeded", started.process)
    assert ended["process"] != ready["process"], "the slot that did it, not the process above it"
    begun, again, back = kept(database, tenant, slow)
    assert (begun.event, again.event) == ("step.running", "step.queued")
    assert (back.event, back.level, back.process) == ("lease.handed_back", "warning", ready["process"])
