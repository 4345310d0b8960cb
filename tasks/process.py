"""The resources of one worker process: made at its first use, so after a fork, and shared by its threads."""

import contextlib
import os
import secrets
import shutil
import socket
import tempfile
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from storage.database import Database
from storage.objects.blocking import Blocking
from storage.objects.stores import open_objects
from storage.telemetry import metric_store
from tasks.budget import Budget
from tasks.outbound import Waiting
from tasks.settings import WorkerSettings

SCRATCH = "millrace-worker-"
OLD_SECONDS = 86_400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """What the work of this process stands on.

    `worker` is the name under which it holds leases, `scratch` the folder for local files of steps that are under way.
    `is_child` says that it is one of a prefork pool's: a slot of its own, which can be limited and killed alone.
    """

    settings: WorkerSettings
    worker: str
    database: Database
    objects: Blocking
    outbound: Waiting
    budget: Budget
    scratch: Path
    is_child: bool = False


def open_process(settings: WorkerSettings, worker: str, *, is_child: bool = False) -> Process:
    """Make the resources; connections are opened when they are first needed."""
    return Process(
        settings=settings,
        worker=worker,
        database=Database(replace(settings.database, one_plan=True)),
        objects=Blocking(open_objects(settings.objects)),
        outbound=Waiting(settings.outbound, nameservers=settings.nameservers),
        budget=Budget(settings.cache_url, settings.call_limits),
        scratch=scratch_folder(worker),
        is_child=is_child,
    )


def scratch_folder(worker: str) -> Path:
    """The worker's own folder for local files, below the system's for temporary ones."""
    return Path(tempfile.gettempdir()) / f"{SCRATCH}{worker.rpartition('/')[2]}"


def clear_scratch(worker: str) -> None:
    """Remove the worker's local files: whatever its slots left when they were killed, and what they have counted."""
    metric_store.close()
    shutil.rmtree(scratch_folder(worker), ignore_errors=True)


def clear_old_scratch() -> None:
    """Remove the local files of workers that were killed a day ago or longer."""
    for folder in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > OLD_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def worker_name(nodename: str) -> str:
    """A name that no other run of a worker bears: `images@host/host/pid/random`."""
    return f"{nodename}/{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"


@dataclass(kw_only=True, slots=True)
class _Here:
    """This process's state: what it was told at its start, and what it has made of it."""

    settings: WorkerSettings | None = None
    worker: str = ""
    metrics_url: str | None = None
    process: Process | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    of_parents: list[Process | None] = field(default_factory=list)
    hands_back: bool = False


_here = _Here()


def configure(settings: WorkerSettings, worker: str, *, metrics_url: str | None = None) -> None:
    """Tell this process, and those that it forks, what to work with, and where their numbers are served."""
    _here.settings, _here.worker, _here.metrics_url = settings, worker, metrics_url


def metrics_url() -> str | None:
    return _here.metrics_url


def current() -> Process:
    """This process's resources. `configure` must have run."""
    with _here.lock:
        if _here.process is None:
            if _here.settings is None:
                raise RuntimeError("tasks.process.configure has not run in this process")
            _here.process = open_process(_here.settings, _here.worker, is_child=bool(_here.of_parents))
        return _here.process


def replica() -> str:
    """Of this process's worker, as others call it; empty where none is configured."""
    return _here.worker.partition("@")[2].partition("/")[0]


def note_hand_back() -> None:
    """From now on slots that die were killed by us, to hand back their steps: that is no loss."""
    _here.hands_back = True


def is_handing_back() -> bool:
    return _here.hands_back


def _after_fork() -> None:
    # The parent's connections must be neither used nor closed here: they are kept, unused, for as long as we live.
    _here.of_parents.append(_here.process)
    _here.process = None
    _here.lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
