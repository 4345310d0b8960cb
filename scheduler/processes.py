"""Replicas as processes of this machine: started, watched and ended here, and found again by the scaler's next run."""

import contextlib
import json
import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

from scheduler.errors import ActuatorFailed
from scheduler.pools import Pool

log = logging.getLogger(__name__)

ROOT = Path(__file__).parent.parent
TICK_SECONDS = 0.25
GOOD_RUN_SECONDS = 30.0  # a replica that dies sooner is started again after a growing pause
LONGEST_PAUSE_SECONDS = 10.0
ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # no words, no digits that look like letters: as Kubernetes names pods


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """What is written down of a replica: a process number alone may be a stranger's tomorrow.

    `leaving_at` (Unix time) is when it was told to end; None while it is to stay.
    """

    replica: str
    pool: str
    pid: int
    started: float
    leaving_at: float | None = None


class Processes:
    """The local actuator. Not for two at once on one `folder`, which keeps a note of each replica.

    Workers write to `logs`/worker-<pool>.log and run in sessions of their own: when this process ends they stay, and
    the next one adopts them.
    """

    def __init__(self, folder: Path, logs: Path, env: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        logs.mkdir(parents=True, exist_ok=True)
        self._folder, self._logs, self._env = folder, logs, dict(env)
        self._lock = threading.Lock()  # guards all below
        self._notes = {note.replica: note for note in notes(folder)}
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._pools: dict[str, Pool] = {}
        self._wanted: dict[str, int] = {}
        self._pauses: dict[str, _Pause] = {}
        self._closed = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="processes", daemon=True)
        self._keeper.start()

    def replicas(self, pool: Pool) -> int:
        """As many as were asked for last, or as were found when this process began."""
        with self._lock:
            self._check()
            self._pools.setdefault(pool.name, pool)
            return self._wanted.setdefault(pool.name, len(self._staying(pool.name)))

    def scale(self, pool: Pool, replicas: int, busy: Mapping[str, int]) -> None:
        """See scheduler.actuator. Raises ActuatorFailed when one cannot be started; that is tried again by itself."""
        with self._lock:
            self._check()
            staying = self._staying(pool.name)
            # The least busy go, of these the youngest: it has done the least, and may not even be ready.
            staying.sort(key=lambda note: (busy.get(note.replica, 0), -note.started))
            for note in staying[: max(0, len(staying) - replicas)]:
                self._end(note)
            self._pools[pool.name], self._wanted[pool.name] = pool, replicas
            for _ in range(replicas - len(staying)):
                self._start(pool)

    def names(self, pool: str) -> list[str]:
        """The replicas of the pool that live and are to stay."""
        with self._lock:
            return [note.replica for note in self._staying(pool)]

    def close(self) -> None:
        """Let the replicas go on without us."""
        self._closed.set()
        self._keeper.join()
        for child in self._children.values():
            child.returncode = child.poll() or 0  # not ours to wait for any more: else Python warns of it
        self._children.clear()

    def stop_all(self, *, warm_seconds: float, grace_seconds: float) -> None:
        """End all replicas: after `warm_seconds` they hand back what they work on, after `grace_seconds` more they are
        killed.
        """
        self.close()
        with self._lock:
            left = list(self._notes.values())
            for number, seconds in ((signal.SIGTERM, warm_seconds), (signal.SIGQUIT, grace_seconds)):
                for note in left:
                    _signal(note, number)
                left = self._wait_gone(left, seconds)
            for note in left:
                _signal(note, signal.SIGKILL)
            self._wait_gone(left, 1.0)

    def _check(self) -> None:
        if not self._folder.is_dir():  # without notes nobody would find the replicas again
            raise ActuatorFailed(f"the folder {self._folder} is gone")

    def _keep(self) -> None:
        while not self._closed.wait(TICK_SECONDS):
            try:
                with self._lock:
                    self._tend()
            except ActuatorFailed as exc:
                log.warning("processes.put_off reason=%s", exc)
            except Exception:
                log.exception("processes.crashed")  # the edge of the loop: without it nobody starts what died

    def _tend(self) -> None:
        """Forget what has ended, kill what overstays its grace, start what is missing."""
        for note in list(self._notes.values()):
            if not self._lives(note):
                self._forget(note)
            elif note.leaving_at is not None and time.time() - note.leaving_at > self._grace(note.pool):
                log.warning("processes.overstayed replica=%s", note.replica)
                _signal(note, signal.SIGKILL)
        for name, wanted in self._wanted.items():
            missing = wanted - len(self._staying(name))
            if missing > 0 and self._may_start(name):
                for _ in range(missing):
                    self._start(self._pools[name])

    def _forget(self, note: Note) -> None:
        child = self._children.pop(note.replica, None)
        status = None if child is None else child.returncode
        self._remove(note)
        if note.leaving_at is not None:
            log.info("processes.ended replica=%s status=%s", note.replica, status)
            return
        log.warning("processes.died replica=%s status=%s log=%s", note.replica, status, self._log(note.pool))
        if time.time() - note.started < GOOD_RUN_SECONDS:
            before = self._pauses.get(note.pool, _Pause())
            self._pauses[note.pool] = before.longer()
        else:
            self._pauses.pop(note.pool, None)

    def _may_start(self, pool: str) -> bool:
        return time.monotonic() >= self._pauses.get(pool, _Pause()).until

    def _start(self, pool: Pool) -> None:
        name = f"{pool.name}-{''.join(secrets.choice(ALPHABET) for _ in range(5))}"
        env = {**pool.env, **self._env, **dict.fromkeys(pool.names, name)}
        command = pool.command_for(env)
        if command[0] == "python":
            command = (sys.executable, *command[1:])
        try:
            with self._log(pool.name).open("ab") as output:
                child = subprocess.Popen(
                    command,
                    env=env,
                    cwd=ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
        except OSError as exc:
            raise ActuatorFailed(f"a replica of {pool.name} cannot be started: {exc}") from exc
        self._children[name] = child
        self._write(Note(replica=name, pool=pool.name, pid=child.pid, started=_started(child.pid) or time.time()))
        self._pools.setdefault(pool.name, pool)
        log.info("processes.started replica=%s pid=%s", name, child.pid)

    def _end(self, note: Note) -> None:
        self._write(replace(note, leaving_at=time.time()))  # before the signal: whoever comes next knows
        _signal(note, signal.SIGTERM)
        log.info("processes.leaving replica=%s", note.replica)

    def _staying(self, pool: str) -> list[Note]:
        return [n for n in self._notes.values() if n.pool == pool and n.leaving_at is None and self._lives(n)]

    def _lives(self, note: Note) -> bool:
        child = self._children.get(note.replica)
        return _lives(note) if child is None else child.poll() is None

    def _grace(self, pool: str) -> float:
        known = self._pools.get(pool)
        return known.grace_seconds if known else 30.0

    def _wait_gone(self, left: Iterable[Note], seconds: float) -> list[Note]:
        deadline, left = time.monotonic() + seconds, list(left)
        while True:
            for note in [note for note in left if not self._lives(note)]:
                self._remove(note)
            left = [note for note in left if note.replica in self._notes]
            if not left or time.monotonic() >= deadline:
                return left
            time.sleep(0.05)

    def _log(self, pool: str) -> Path:
        return self._logs / f"worker-{pool}.log"

    def _write(self, note: Note) -> None:
        path = self._folder / f"{note.replica}.json"
        path.with_suffix(".new").write_text(json.dumps(asdict(note)), encoding="utf-8")
        path.with_suffix(".new").replace(path)
        self._notes[note.replica] = note

    def _remove(self, note: Note) -> None:
        self._notes.pop(note.replica, None)
        (self._folder / f"{note.replica}.json").unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class _Pause:
    """When a pool whose replicas die may start another one, and how long it had to wait."""

    until: float = 0.0
    seconds: float = 0.25

    def longer(self) -> "_Pause":
        seconds = min(2 * self.seconds, LONGEST_PAUSE_SECONDS)
        return _Pause(time.monotonic() + seconds, seconds)


def notes(folder: Path) -> list[Note]:
    """What is written down of replicas that live, the oldest first."""
    found = []
    for path in folder.glob("*.json"):
        with contextlib.suppress(ValueError, TypeError, FileNotFoundError):  # half a file is no note
            found.append(Note(**json.loads(path.read_text(encoding="utf-8"))))
    return sorted((note for note in found if _lives(note)), key=lambda note: note.started)


def _lives(note: Note) -> bool:
    try:
        process = psutil.Process(note.pid)
        return process.create_time() == note.started and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _started(pid: int) -> float | None:
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return None


def _signal(note: Note, number: int) -> None:
    """Signal the replica's first process, which ends those below it; or kill them all."""
    if not _lives(note):
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if number == signal.SIGKILL:
            os.killpg(note.pid, number)  # a session of its own: its number is the group's
        else:
            os.kill(note.pid, number)
