"""The scaler: reads the numbers of each pool, decides, writes the decision down, and has it done.

One leads, others stand by. While the database is away nobody is sent home: no number is known, and that is not zero.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from scheduler import memories, numbers, policy
from scheduler.actuator import Actuator
from scheduler.errors import ActuatorFailed
from scheduler.folder import Folder
from scheduler.hpa import Failed, Reading
from scheduler.policy import Decision, Memory
from scheduler.pools import Pool
from scheduler.triggers import Numbers
from storage import scaling, workers
from storage.database import Database
from storage.errors import DatabaseUnavailable, StorageError
from storage.leadership import Leadership
from storage.model import Json
from storage.telemetry.metrics import SCALER_DECISIONS

log = logging.getLogger(__name__)

TICK_SECONDS = 0.25
STANDBY_SECONDS = 2.0  # how often one that stands by tries to lead
READY_SECONDS = 1.0  # how often it looks whether all workers have come up, until they have


@dataclass(kw_only=True)
class Scaler:
    """The state of the loop: what was remembered of each pool, and when each is due.

    With `dry_run` it decides beside the one that leads, and does nothing.
    """

    database: Database
    actuator: Actuator
    folder: Folder
    dry_run: bool = False
    leads: bool = False
    _memories: dict[str, Memory] = field(default_factory=dict)
    _due: dict[str, float] = field(default_factory=dict)
    _noted: dict[str, tuple[int, int]] = field(default_factory=dict)
    _looks_ready_at: float = 0.0
    _is_cut_off: bool = False
    _stood_by: bool = False

    def run(self, stop: threading.Event) -> None:
        """Scale until `stop` is set."""
        leadership = Leadership(self.database, "scale (dry run)" if self.dry_run else "scale")
        try:
            while not stop.is_set():
                self.reload()
                if not self._due_now():
                    stop.wait(TICK_SECONDS)
                    continue
                away = self._lead(leadership)
                if self.leads:
                    self.scale_due(away)
                    self._tell_when_ready()
                else:
                    stop.wait(STANDBY_SECONDS)
        finally:
            self._stop_leading()
            leadership.close()

    def reload(self) -> None:
        """Obey what has changed in the pools' files. A pool whose file is gone is sent home."""
        before = dict(self.folder.pools)
        if not self.folder.reload() or not self.leads or self.dry_run:
            return
        for name in before.keys() - self.folder.pools.keys():
            try:
                self.actuator.scale(before[name], 0, {})
            except ActuatorFailed as exc:
                log.warning("scale.pool_stays pool=%s reason=%s", name, exc)
        self._forget_others()

    def _forget_others(self) -> None:
        """Pools whose file is gone shall not be shown, nor be missed, any more."""
        try:
            with self.database.platform() as tx:
                scaling.keep_only(tx, list(self.folder.pools))
        except StorageError as exc:
            log.warning("scale.pools_not_forgotten reason=%s", exc)

    def scale_due(self, away: str | None = None) -> list[Decision]:
        """Decide for every pool whose time has come, and have it done; `away` says why the database cannot be asked."""
        due = self._due_now()
        for pool in due:
            self._due[pool.name] = time.monotonic() + pool.scaled.spec.polling_interval
        seen, busy, away = self._look(due, away)
        made = []
        for pool in due:
            try:
                made.append(self._scale(pool, seen.get(pool.name), busy, away))
            except ActuatorFailed as exc:
                log.warning("scale.put_off pool=%s reason=%s", pool.name, exc)
            except Exception:
                log.exception("scale.crashed pool=%s", pool.name)  # the others must not suffer from it
        return made

    def _lead(self, leadership: Leadership) -> str | None:
        """Find out whether we lead; returns why the database cannot be asked, if it cannot.

        Who led goes on while it is away, on the safe side: perhaps only we are cut off, and another one leads.
        """
        try:
            leads = leadership.hold()
        except DatabaseUnavailable as exc:
            self._is_cut_off = True
            return str(exc)
        if not leads:
            self._stop_leading()
            if not self._stood_by:
                log.info("scale.stands_by another scaler leads")
            self._stood_by = True
            return None
        if not self.leads or self._is_cut_off:
            self._memories.clear()  # another one may have led since
        if not self.leads:
            if not self.dry_run:
                self.actuator.begin()
                self._forget_others()
            log.info("scale.leads pools=%s dry_run=%s", ",".join(self.folder.pools), self.dry_run)
        self.leads, self._is_cut_off, self._stood_by = True, False, False
        return None

    def _stop_leading(self) -> None:
        if self.leads and not self.dry_run:
            self.actuator.rest()
        self.leads = False

    def _tell_when_ready(self) -> None:
        """Say so once every pool has as many living workers as it is to have."""
        if self._looks_ready_at > time.monotonic() or not self.actuator.is_local:
            return
        self._looks_ready_at = time.monotonic() + READY_SECONDS
        try:
            with self.database.platform_read() as tx:
                living = Counter(worker.name.partition("@")[0] for worker in workers.living(tx))
            pools = self.folder.pools.values()
            are_up = self.dry_run or all(living[pool.name] >= self.actuator.replicas(pool) for pool in pools)
        except (StorageError, ActuatorFailed):
            return
        if are_up:
            log.info("scale.ready pools=%s", ",".join(self.folder.pools))
            self._looks_ready_at = float("inf")

    def _due_now(self) -> list[Pool]:
        return [pool for pool in self.folder.pools.values() if time.monotonic() >= self._due.get(pool.name, 0.0)]

    def _look(
        self, pools: Iterable[Pool], away: str | None
    ) -> tuple[Mapping[str, Numbers], Mapping[str, int], str | None]:
        """The numbers by pool, and how many steps each replica works on; or why that is not known."""
        if away is not None:
            return {}, {}, away
        try:
            with self.database.platform_snapshot() as tx:
                seen = numbers.of_pools(tx, pools)
                busy = {worker.replica: worker.running for worker in workers.living(tx)}
                for pool in pools:
                    if pool.name not in self._memories:
                        kept = memories.read(scaling.memory_of(tx, pool.name), time.time())
                        self._memories[pool.name] = kept or self._first_memory(pool)
        except (StorageError, ActuatorFailed) as exc:
            return {}, {}, str(exc)
        return seen, busy, None

    def _first_memory(self, pool: Pool) -> Memory:
        return policy.first_memory(self.actuator.replicas(pool), time.time())

    def _scale(self, pool: Pool, seen: Numbers | None, busy: Mapping[str, int], away: str | None) -> Decision:
        replicas, now = self.actuator.replicas(pool), time.time()
        readings = read(pool, seen, away or "unknown", replicas, now)
        memory = self._memories.get(pool.name) or self._first_memory(pool)
        decision = policy.decide(pool.scaled, memory, readings, replicas, now)
        SCALER_DECISIONS.add(pool.name)
        is_done = not self.dry_run and self._may_act(seen)
        if is_done and decision.wanted != replicas:
            try:
                self.actuator.scale(pool, decision.wanted, busy)
            except ActuatorFailed:
                self._remember(pool, decision.undone)
                raise
        remembered = decision.memory if is_done else decision.undone
        self._remember(pool, remembered)
        decision = replace(decision, reason=decision.reason + held_back(seen))
        trouble = self.folder.refusal or self.actuator.trouble(pool.name)
        self._write(pool, decision, inputs(seen, readings, trouble), remembered, away)
        return decision

    def _may_act(self, seen: Numbers | None) -> bool:
        """Without the database another one may lead; only replicas that are ours alone may follow their fallback."""
        return seen is not None or self.actuator.is_local

    def _remember(self, pool: Pool, memory: Memory) -> None:
        """Unless what was kept is still to be read: then this was a stopgap."""
        if pool.name in self._memories:
            self._memories[pool.name] = memory

    def _write(self, pool: Pool, decision: Decision, said: Json, memory: Memory, away: str | None) -> None:
        """A decision that cannot be written is logged: with the database away it can only be to keep what stands, or
        the fallback.
        """
        spec, change = pool.scaled.spec, (decision.replicas, decision.wanted)
        is_news = decision.wanted != decision.replicas and self._noted.get(pool.name) != change
        self._noted[pool.name] = change
        if is_news:
            log.info("scale.decided pool=%s dry_run=%s decision=%s", pool.name, self.dry_run, decision.reason)
        if away is not None:
            return
        try:
            with self.database.platform() as tx:
                tx.sql("SET LOCAL synchronous_commit = off")
                scaling.decide(
                    tx,
                    pool.name,
                    replicas=decision.replicas,
                    wanted=decision.wanted,
                    bounds=(spec.min_replica_count, spec.max_replica_count),
                    reason=decision.reason,
                    inputs=said,
                    memory=memories.write(memory),
                    dry_run=self.dry_run,
                    is_news=is_news,
                )
        except StorageError as exc:
            log.warning("scale.unwritten pool=%s decision=%s reason=%s", pool.name, decision.reason, exc)


def read(pool: Pool, seen: Numbers | None, away: str, replicas: int, now: float) -> list[Reading | Failed]:
    """What each of the pool's triggers says; without numbers each has failed, for the reason `away`."""
    if seen is None:
        return [Failed(rule.name, away) for rule in pool.rules]
    found: list[Reading | Failed] = []
    for rule in pool.rules:
        try:
            found.append(rule.read(seen, replicas, now))
        except (ValueError, OverflowError) as exc:  # a cron date that never comes, what is not a number
            found.append(Failed(rule.name, str(exc)))
    return found


def held_back(seen: Numbers | None) -> str:
    """What an operator must know who asks why nothing is started: a queue of the pool is paused."""
    return f"; {seen.held} more could run, but their queue is paused" if seen is not None and seen.held else ""


def inputs(seen: Numbers | None, readings: Sequence[Reading | Failed], trouble: str | None = None) -> Json:
    """What a decision stands on, as it is kept with it."""
    said = [
        {"trigger": r.trigger, "failed": r.reason}
        if isinstance(r, Failed)
        else {"trigger": r.trigger, "value": r.value, "target": r.target, "active": r.active, "why": r.why}
        for r in readings
    ]
    kept = None if seen is None else seen._asdict() | {"due": sum(d.steps for d in seen.due)}
    return {"triggers": said, "numbers": kept, "trouble": trouble}
