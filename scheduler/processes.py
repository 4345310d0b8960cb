"""Replicas as processes of this machine: started, watched and ended here, and found again by the scaler's next run."""

import fcntl
import hashlib
import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from scheduler import notes
from scheduler.errors import ActuatorFailed
from scheduler.notes import Note
from scheduler.pools import Pool

log = logging.getLogger(__name__)

ROOT = Path(__file__).parent.parent
TICK_SECONDS = 0.25
GOOD_RUN_SECONDS = 30.0  # a replica that dies sooner is started again after a growing pause
LONGEST_PAUSE_SECONDS = 10.0
SETTLED_SECONDS = 5.0  # after a replica was started anew with a changed command, before the next one is
ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # no words, no digits that look like letters: as Kubernetes names pods


class Processes:
    """The local actuator; `folder` keeps a note of each replica.

    It only looks until `begin`, which locks the folder: from then on replicas that die are replaced. Workers write to
    `logs`/worker-<pool>.log and lead sessions of their own: when this process ends they stay, and the next one adopts
    them.
    """

    is_local = True

    def __init__(self, folder: Path, logs: Path, env: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        logs.mkdir(parents=True, exist_ok=True)
        self._folder, self._logs, self._env = folder, logs, dict(env)
        self._lock = threading.Lock()  # guards all below
        self._descriptor: int | None = None  # of the folder's lock, while we hold it
        self._notes: dict[str, Note] = {}
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._pools: dict[str, Pool] = {}
        self._wanted: dict[str, int] = {}
        self._deaths: dict[str, _Deaths] = {}
        self._changed_at = float("-inf")
        self._rests = threading.Event()
        self._keeper: threading.Thread | None = None

    def begin(self) -> None:
        """Take the replicas over that there are, and watch them. Raises ActuatorFailed if another scaler does."""
        with self._lock:
            if self._descriptor is not None:
                return
            self._descriptor = _held(self._folder / "lock")
            for note in notes.read_all(self._folder):
                if note.lives:
                    self._notes[note.replica] = note
                else:
                    note.kill()  # what its first process left behind
                    notes.remove(self._folder, note.replica)
        self._rests.clear()
        self._keeper = threading.Thread(target=self._keep, name="processes", daemon=True)
        self._keeper.start()

    def rest(self) -> None:
        """Let the replicas go on without us: another scaler may begin."""
        self._rests.set()
        if self._keeper is not None:
            self._keeper.join()
        with self._lock:
            for child in self._children.values():
                child.returncode = child.poll() or 0  # not ours to wait for any more: else Python warns of it
            for known in (self._children, self._notes, self._pools, self._wanted):
                known.clear()
            if self._descriptor is not None:
                os.close(self._descriptor)
            self._descriptor = self._keeper = None

    def close(self) -> None:
        self.rest()

    def replicas(self, pool: Pool) -> int:
        """As many as were asked for last, or as were found when this object began."""
        with self._lock:
            self._check()
            if self._descriptor is None:
                return sum(n.pool == pool.name and n.leave_by is None for n in notes.read(self._folder))
            self._pools[pool.name] = pool
            return self._wanted.setdefault(pool.name, len(self._staying(pool.name)))

    def scale(self, pool: Pool, replicas: int, busy: Mapping[str, int]) -> None:
        """See scheduler.actuator. Raises ActuatorFailed when one cannot be started; that is tried again by itself."""
        with self._lock:
            self._check()
            if self._descriptor is None:
                raise ActuatorFailed("this scaler does not lead here")
            staying = self._staying(pool.name)
            # The least busy go, of these the youngest: it has done the least, and may not even be ready.
            staying.reverse()
            staying.sort(key=lambda note: busy.get(note.replica, 0))
            self._pools[pool.name], self._wanted[pool.name] = pool, replicas
            for note in staying[: max(0, len(staying) - replicas)]:
                self._end(note, pool.grace_seconds)
            for _ in range(replicas - len(staying)):
                self._start(pool)

    def trouble(self, pool: str) -> str | None:
        """In words, if replicas of the pool die one soon after another."""
        with self._lock:
            deaths = self._deaths.get(pool)
        if deaths is None or deaths.times < 2 or time.monotonic() > deaths.pause_until + GOOD_RUN_SECONDS:
            return None
        return f"its replicas die, {deaths.times} by now, the last with {deaths.last}; log: {self._log(pool)}"

    def stop_all(self, *, warm_seconds: float, grace_seconds: float) -> None:
        """End all replicas: after `warm_seconds` they hand back what they work on, after `grace_seconds` more they are
        killed.
        """
        self._rests.set()
        with self._lock:
            left = list(self._notes.values())
            for number, seconds in ((signal.SIGTERM, warm_seconds), (signal.SIGQUIT, grace_seconds)):
                for note in left:
                    note.signal(number)
                left = self._wait_gone(left, seconds)
            for note in left:
                note.kill()
            self._wait_gone(left, 1.0)
        self.rest()

    def _check(self) -> None:
        if not self._folder.is_dir():  # without notes nobody would find the replicas again
            raise ActuatorFailed(f"the folder {self._folder} is gone")

    def _keep(self) -> None:
        while not self._rests.wait(TICK_SECONDS):
            try:
                with self._lock:
                    if not self._rests.is_set():
                        self._tend()
            except ActuatorFailed as exc:
                log.warning("processes.put_off reason=%s", exc)
                self._rests.wait(1.0)
            except Exception:
                log.exception("processes.crashed")  # the edge of the loop: without it nobody starts what died

    def _tend(self) -> None:
        """Forget what has ended, kill what overstays its grace, start what is missing, renew what has changed."""
        self._check()
        for note in list(self._notes.values()):
            if not self._lives(note):
                self._forget(note)
            elif note.leave_by is not None and time.monotonic() > note.leave_by:
                log.warning("processes.overstayed replica=%s", note.replica)
                note.kill()
        for name, wanted in self._wanted.items():
            staying = self._staying(name)
            if len(staying) < wanted and time.monotonic() >= self._deaths.get(name, _Deaths()).pause_until:
                for _ in range(wanted - len(staying)):
                    self._start(self._pools[name])
            elif len(staying) == wanted:
                self._renew(self._pools[name], staying)

    def _renew(self, pool: Pool, staying: Iterable[Note]) -> None:
        """After a change of the pool's command: one replica after another."""
        old = next((note for note in staying if note.made_of != _made_of(pool)), None)
        if old is not None and time.monotonic() > self._changed_at + SETTLED_SECONDS:
            self._changed_at = time.monotonic()
            log.info("processes.renewed replica=%s", old.replica)
            self._start(pool)
            self._end(old, pool.grace_seconds)

    def _forget(self, note: Note) -> None:
        child = self._children.pop(note.replica, None)
        status = None if child is None else child.returncode
        note.kill()  # slots whose first process was killed go on by themselves
        self._remove(note)
        if note.leave_by is not None:
            log.info("processes.ended replica=%s status=%s", note.replica, status)
            return
        log.warning("processes.died replica=%s status=%s log=%s", note.replica, status, self._log(note.pool))
        self._deaths[note.pool] = self._deaths.get(note.pool, _Deaths()).one_more(status)

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
            who = notes.identity(child.pid)
            self._children[name] = child
            self._write(Note(replica=name, pool=pool.name, pid=child.pid, identity=who, made_of=_made_of(pool)))
        except OSError as exc:
            unnoted = self._children.pop(name, None)
            if unnoted is not None:  # nobody would find it again
                unnoted.kill()
                unnoted.wait()
            raise ActuatorFailed(f"a replica of {pool.name} cannot be started: {exc}") from exc
        log.info("processes.started replica=%s pid=%s", name, child.pid)

    def _end(self, note: Note, grace_seconds: float) -> None:
        try:
            self._write(replace(note, leave_by=time.monotonic() + grace_seconds))  # first: whoever comes next knows
        except OSError as exc:
            raise ActuatorFailed(f"{note.replica} cannot be ended: {exc}") from exc
        note.signal(signal.SIGTERM)
        log.info("processes.leaving replica=%s", note.replica)

    def _staying(self, pool: str) -> list[Note]:
        """The oldest first."""
        return [n for n in self._notes.values() if n.pool == pool and n.leave_by is None and self._lives(n)]

    def _lives(self, note: Note) -> bool:
        child = self._children.get(note.replica)
        return note.lives if child is None else child.poll() is None

    def _wait_gone(self, left: Iterable[Note], seconds: float) -> list[Note]:
        deadline, left = time.monotonic() + seconds, list(left)
        while True:
            for note in [note for note in left if not self._lives(note)]:
                note.kill()
                self._remove(note)
            left = [note for note in left if note.replica in self._notes]
            if not left or time.monotonic() >= deadline:
                return left
            time.sleep(0.05)

    def _log(self, pool: str) -> Path:
        return self._logs / f"worker-{pool}.log"

    def _write(self, note: Note) -> None:
        notes.write(self._folder, note)
        self._notes[note.replica] = note

    def _remove(self, note: Note) -> None:
        self._notes.pop(note.replica, None)
        notes.remove(self._folder, note.replica)


class _Deaths:
    """How often replicas of a pool have died, one soon after another, and until when the next one waits."""

    def __init__(self, times: int = 0, last: str = "", pause_until: float = 0.0) -> None:
        self.times, self.last, self.pause_until = times, last, pause_until

    def one_more(self, status: int | None) -> "_Deaths":
        words = "no known status" if status is None else f"exit status {status}"
        now = time.monotonic()
        times = self.times + 1 if now < self.pause_until + GOOD_RUN_SECONDS else 1
        return _Deaths(times, words, now + min(0.25 * 2.0**times, LONGEST_PAUSE_SECONDS))


def _made_of(pool: Pool) -> str:
    return hashlib.sha256(repr((pool.command, sorted(pool.env.items()))).encode()).hexdigest()[:12]


def _held(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        os.close(descriptor)
        raise ActuatorFailed(f"another scaler looks after the replicas of {path.parent}") from exc
    return descriptor
