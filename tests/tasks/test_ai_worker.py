"""A real worker of the queue `ai`: networks loaded before the fork, refused when they are wrong, children that die."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil
import pytest

from storage import removals
from storage.database import Database
from storage.keys import input_key
from storage.model import Job, JobInput, JobState, Outcome, StepState, TenantId, new_job_id
from storage.objects.blocking import Blocking
from storage.objects.settings import ObjectSettings
from storage.objects.stores import open_objects
from tasks.document import parse
from tasks.settings import MODELS_DIR
from tasks.submit import submit
from tests.tasks.working import Worker
from tests.waiting import until

AI = ("-Q", "ai", "-P", "prefork", "-c", "1", "--prefetch-multiplier", "1")
QUICK = ["labels", "faces", "objects", "embedding", "phash"]
Send = Callable[..., Job]


@pytest.fixture
def send(database: Database, tenant: TenantId, bucket: ObjectSettings, photos: Path) -> Send:
    """Puts in an analysis of a photograph."""

    def put_in(*features: str, photo: str = "coffee.png") -> Job:
        job_id = new_job_id()
        objects = Blocking(open_objects(bucket))
        file = (photos / photo).read_bytes()
        key = input_key(tenant, job_id)
        objects.upload(key, file, content_type="image/png")
        objects.close()
        given = JobInput(key=key, filename=photo, content_type="image/png", bytes=len(file))
        document = {"steps": {"look": {"kind": "image.analyze", "features": list(features)}}}
        with database.begin(tenant) as tx:
            removals.plan(tx, job_id, due_in_seconds=60)
            return submit(tx, parse(document), job_id=job_id, file=given).job

    return put_in


def test_networks_are_loaded_once_and_shared_by_the_children(
    worker: Worker, send: Send, read: Callable[[Job], Job]
) -> None:
    with worker(*AI) as process:
        parent = psutil.Process(process.pid)
        [child] = parent.children()
        assert "onnxruntime" in " ".join(mapped.path for mapped in parent.memory_maps())
        jobs = [send(*QUICK) for _ in range(3)]
        until(lambda: all(read(job).state is JobState.SUCCEEDED for job in jobs))
        assert [read(job).steps[0].attempt for job in jobs] == [1, 1, 1]
        assert child.memory_full_info().uss < parent.memory_full_info().rss


def test_a_child_that_is_killed_while_it_looks_costs_an_attempt_and_nothing_else(
    worker: Worker, send: Send, read: Callable[[Job], Job]
) -> None:
    with worker(*AI) as process:
        slow = send(*QUICK, "text", photo="rocket.jpg")
        others = [send("labels") for _ in range(5)]
        until(lambda: read(slow).state is JobState.RUNNING)
        [child] = psutil.Process(process.pid).children()
        child.kill()
        until(lambda: all(read(job).state is JobState.SUCCEEDED for job in (slow, *others)))
        tried = read(slow).steps[0].attempts
        assert [attempt.outcome for attempt in tried] == [Outcome.LOST, Outcome.SUCCEEDED]
        assert all(len(read(job).steps[0].attempts) == 1 for job in others)


@pytest.fixture
def tampered(tmp_path: Path) -> str:
    folder = tmp_path / "models"
    shutil.copytree(MODELS_DIR, folder)
    with (folder / "face_detection_yunet_2023mar.onnx").open("ab") as file:
        file.write(b"x")
    return str(folder)


def refusal(env: Mapping[str, str], models: str) -> str:
    """What a worker says that does not start."""
    command = [sys.executable, "-m", "celery", "-A", "tasks.app", "worker", "-n", "wrong@%h", *AI]
    given = {**env, "MODELS_DIR": models}
    ended = subprocess.run(command, env=given, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == os.EX_CONFIG
    [line] = [line for line in ended.stderr.splitlines() if line.startswith("error:")]
    return line


def test_a_worker_with_a_wrong_network_says_so_and_does_not_start(env: Mapping[str, str], tampered: str) -> None:
    line = refusal(env, tampered)
    assert "model yunet" in line
    assert "has the SHA-256" in line


def test_a_worker_that_cannot_be_made_ready_for_whatever_reason_says_so(env: Mapping[str, str], tampered: str) -> None:
    manifest = Path(tampered) / "yunet-2023mar.toml"
    manifest.write_text(manifest.read_text().replace('file = "', 'file = "\\u0000'))
    assert "ValueError('embedded null byte')" in refusal(env, tampered)


def test_a_worker_of_another_queue_does_not_mind(worker: Worker, env: Mapping[str, str], tampered: str) -> None:
    with worker(MODELS_DIR=tampered) as process:
        parent = psutil.Process(process.pid)
        assert parent.status() != psutil.STATUS_ZOMBIE
        assert not any("onnxruntime" in mapped.path for mapped in parent.memory_maps())


def test_a_warm_shutdown_ends_what_was_begun(worker: Worker, send: Send, read: Callable[[Job], Job]) -> None:
    with worker(*AI) as process:
        job = send(*QUICK)
        until(lambda: read(job).state is not JobState.QUEUED)
        process.terminate()
        process.wait(30)
        assert read(job).steps[0].state is StepState.SUCCEEDED
