"""Analyses done by hand, with networks that can be broken."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from storage import jobs, removals
from storage.keys import input_key
from storage.model import Job, JobInput, Step, StepId, TenantId, new_job_id
from tasks import base
from tasks.document import parse
from tasks.names import KINDS
from tasks.process import Process
from tasks.settings import MODELS_DIR
from tasks.submit import submit

SMALL = "ssdlite-mobilenet-v2-coco.toml"


class Bench:
    """Jobs on one file, done by hand."""

    def __init__(self, process: Process, tenant: TenantId) -> None:
        self.process, self.tenant = process, tenant
        self.jobs: dict[StepId, Job] = {}

    def put_in(self, file: bytes, document: dict[str, Any]) -> Job:
        job_id = new_job_id()
        key = input_key(self.tenant, job_id)
        self.process.objects.upload(key, file, content_type="image/png")
        given = JobInput(key=key, filename="it.png", content_type="image/png", bytes=len(file))
        with self.process.database.begin(self.tenant) as tx:
            removals.plan(tx, job_id, due_in_seconds=60)
            return submit(tx, parse(document), job_id=job_id, file=given).job

    def work_off(self, job: Job) -> Job:
        """Try every step once, in order."""
        for step in job.steps:
            with self.process.database.begin(self.tenant) as tx:
                tx.sql("UPDATE steps SET state = 'queued' WHERE id = %(step)s AND state = 'retrying'", step=step.id)
            try:
                base.perform(self.process, KINDS[step.kind], self.tenant, job.id, step.id)
            except base.StepUnsuccessful:
                continue
        with self.process.database.read(self.tenant) as tx:
            found = jobs.find(tx, job.id)
        assert found is not None
        return found

    def look(self, file: bytes, *features: str) -> Step:
        job = self.put_in(file, {"steps": {"look": {"kind": "image.analyze", "features": list(features)}}})
        step = self.work_off(job).steps[0]
        self.jobs[step.id] = job
        return step


@pytest.fixture
def bench(process: Process, tenant: TenantId) -> Bench:
    return Bench(process, tenant)


@pytest.fixture
def chelsea(photos: Path) -> bytes:
    return (photos / "chelsea.png").read_bytes()


@pytest.fixture
def folder(bench: Bench, tmp_path: Path) -> Path:
    """A copy of MODELS_DIR that the bench uses from now on."""
    made = tmp_path / "models"
    shutil.copytree(MODELS_DIR, made)
    bench.process = replace(bench.process, settings=replace(bench.process.settings, models_dir=made))
    return made


def break_objects(folder: Path) -> None:
    """A manifest that promises a size which the network throws at."""
    text = (MODELS_DIR / SMALL).read_text()
    (folder / SMALL).write_text(text.replace("height = 300", "height = 290"))
