"""What a real worker logs, and what of it is kept with the job."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

from storage import job_logs
from storage.database import Database
from storage.job_logs import KeptLine
from storage.model import Job, JobState, TenantId
from tests.documents import put_in
from tests.tasks.working import Worker
from tests.waiting import until

SLOW = {"steps": {"say": {"kind": "echo", "sleep_seconds": 100}}}


def kept(database: Database, tenant: TenantId, job: Job) -> list[KeptLine]:
    with database.read(tenant) as tx:
        return list(job_logs.page(tx, job.id, 0, 100))


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
    assert (started.event, started.step, started.attempt, started.fields["kind"]) == ("step.started", "say", 1, "echo")
    assert (end.event, end.fields["outcome"]) == ("step.ended", "succeeded")
    assert end.process == ended["process"] != ready["process"], "the slot that did it, not the process above it"
    begun, back = kept(database, tenant, slow)
    assert (begun.event, back.event, back.level) == ("step.started", "lease.handed_back", "warning")
    assert (begun.process, back.process) == (end.process, ready["process"])
