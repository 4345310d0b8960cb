"""The scaler: reads the numbers of each pool, decides, writes the decision down, and has it done.

One leads, others stand by. While the database is away nobody is sent home: no number is known, and that is not zero.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

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

log = logging.getLogger(__name__)

TICK_SECONDS = 0.25
STANDBY_SECONDS = 2.0  # how often one that stands by tries to lead


@dataclass(kw_only=True)
class Scaler:
    """The state of the loop: what was remembered of each pool, and when each is due."""

    database: Database
    actuator: Actuator
    folder: Folder
    dry_run: bool = False
    leads: bool = False
    _memories: dict[str, Memory] = field(default_factory=dict)
    _due: dict[str, float] = field(default_factory=dict)
    _is_ready: bool = False

    def run(self, stop: threading.Event) -> None:
        """Scale until `stop` is set."""
        leadership = Leadership(self.database, "scale")
        try:
            while not stop.is_set():
                self.folder.reload()
                if self.leads and not self._is_ready:
                    self._tell_when_ready()
                if not self._due_now():
                    stop.wait(TICK_SECONDS)
                    continue
                away = self._lead(leadership)
                if self.leads:
                    self.scale_due(away)
                else:
                    stop.wait(STANDBY_SECONDS)
        finally:
            self.leads = False
            leadership.close()

    def _lead(self, leadership: Leadership) -> str | None:
        """Find out whether we lead; returns why the database cannot be asked, if it cannot.

        Who led leads on while it is away: nobody else can begin to.
        """
        try:
            leads = leadership.hold()
        except DatabaseUnavailable as exc:
            return str(exc)
        if leads and not self.leads:
            log.info("scale.leads pools=%s dry_run=%s", ",".join(self.folder.pools), self.dry_run)
            self._memories.clear()  # another one may have led since
        self.leads = leads
        return None

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
        return made

    def _tell_when_ready(self) -> None:
        """Say so once every pool has as many living workers as it is to have."""
        try:
            with self.database.platform_read() as tx:
                living = Counter(worker.name.partition("@")[0] for worker in workers.living(tx))
            self._is_ready = all(
                living[pool.name] >= self.actuator.replicas(pool) for pool in self.folder.pools.values()
            )
        except (StorageError, ActuatorFailed):
            return
        if self._is_ready:
            log.info("scale.ready pools=%s", ",".join(self.folder.pools))

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
                        self._memories[pool.name] = self._remembered(pool, scaling.memory_of(tx, pool.name))
        except (StorageError, ActuatorFailed) as exc:
            return {}, {}, str(exc)
        return seen, busy, None

    def _remembered(self, pool: Pool, kept: Json) -> Memory:
        if kept is None:
            return policy.first_memory(self.actuator.replicas(pool), time.time())
        return memories.read(kept)

    def _scale(self, pool: Pool, seen: Numbers | None, busy: Mapping[str, int], away: str | None) -> Decision:
        replicas, now = self.actuator.replicas(pool), time.time()
        memory = self._memories.get(pool.name) or policy.first_memory(replicas, now)
        readings = read(pool, seen, away or "unknown", replicas, now)
        decision = policy.decide(pool.scaled, memory, readings, replicas, now)
        self._write(pool, decision, inputs(seen, readings))
        self._memories[pool.name] = decision.memory
        if decision.wanted != replicas:
            log.info("scale.decided pool=%s dry_run=%s decision=%s", pool.name, self.dry_run, decision.reason)
            if not self.dry_run:
                self.actuator.scale(pool, decision.wanted, busy)
        return decision

    def _write(self, pool: Pool, decision: Decision, said: Json) -> None:
        """A decision that cannot be written is logged: with the database away it can only be to keep what stands, or
        the fallback.
        """
        spec = pool.scaled.spec
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
                    memory=memories.write(decision.memory),
                    dry_run=self.dry_run,
                )
        except StorageError as exc:
            log.warning("scale.unwritten pool=%s decision=%s reason=%s", pool.name, decision.reason, exc)


def read(pool: Pool, seen: Numbers | None, away: str, replicas: int, now: float) -> list[Reading | Failed]:
    """What each of the pool's triggers says; without numbers each has failed, for the reason `away`."""
    if seen is None:
        return [Failed(rule.name, away) for rule in pool.rules]
    return [rule.read(seen, replicas, now) for rule in pool.rules]


def inputs(seen: Numbers | None, readings: Sequence[Reading | Failed]) -> Json:
    """What a decision stands on, as it is kept with it."""
    said = [
        {"trigger": r.trigger, "failed": r.reason}
        if isinstance(r, Failed)
        else {"trigger": r.trigger, "value": r.value, "target": r.target, "active": r.active, "why": r.why}
        for r in readings
    ]
    return {
        "triggers": said,
        "numbers": None if seen is None else seen._asdict() | {"due": sum(d.steps for d in seen.due)},
    }
