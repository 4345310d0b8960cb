"""Kinds of work that do what must not happen, offered as an installed package offers kinds: by entry points."""

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from storage.model import Json
from tasks.names import Kind, Params, Queue, Retry
from tasks.work import Work

ROOT = Path(__file__).parent.parent


class Eat(Params):
    """How much memory to take, and how often the step does so before it is content."""

    mib: int
    times: int = 1_000


class Stuck(Params):
    """How long to look at nothing."""

    seconds: float


class Save(Params):
    """How long to stay after an output has been saved."""

    seconds: float = 0.0


def die(_work: Work, _params: Params) -> Json:
    """Kill the process that works on it."""
    os.kill(os.getpid(), signal.SIGKILL)


def eat(work: Work, params: Eat) -> Json:
    """Take memory, touching every page, in the first `times` attempts."""
    if work.claim.attempt <= params.times:
        held = bytearray(params.mib * 1024 * 1024)
        held[:: os.sysconf("SC_PAGESIZE")] = b"x" * len(held[:: os.sysconf("SC_PAGESIZE")])
    return {"pid": os.getpid()}


def stick(_work: Work, params: Stuck) -> Json:
    """Sleep without ever asking whether the work is wanted."""
    time.sleep(params.seconds)
    return {}


def save(work: Work, params: Save) -> Json:
    """Save an output that names its attempt, then stay."""
    made = work.save("it", str(work.claim.attempt).encode(), content_type="text/plain")
    end = time.monotonic() + params.seconds
    while time.monotonic() < end:
        time.sleep(0.1)
        work.checkpoint()
    return {"outputs": [made]}


QUICK = Retry(first_seconds=0.1)
KINDS: Mapping[str, Kind] = {
    name: Kind(
        name=name,
        summary="for tests",
        params=params,
        run=f"tests.hostile:{run}",
        queue=Queue.DEFAULT,
        retry=QUICK,
        memory_mib=128,
        makes_files=run == "save",
        soft_time_limit=1 if name == "test.late" else 540,
        time_limit=2 if name == "test.late" else 600,
    )
    for name, params, run in (
        ("test.die", Params, "die"),
        ("test.eat", Eat, "eat"),
        ("test.stick", Stuck, "stick"),
        ("test.save", Save, "save"),
        ("test.late", Stuck, "stick"),
    )
}
DIE, EAT, STICK, SAVE, LATE = KINDS.values()


def installed(folder: Path) -> str:
    """Make a package of them below the folder; returns the PYTHONPATH with which a process finds it."""
    info = folder / "hostile-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hostile\nVersion: 1.0\n")
    entries = [f"{kind.name} = tests.hostile:{kind.name.removeprefix('test.').upper()}" for kind in KINDS.values()]
    (info / "entry_points.txt").write_text("\n".join(["[millrace.kinds]", *entries, ""]))
    return f"{folder}:{ROOT}"
