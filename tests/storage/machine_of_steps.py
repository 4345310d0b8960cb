"""Drives the database and the model of it with the same actions in random order, and compares them after each."""

import secrets
from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from storage import journal, publishing, queues, replays, retention, runnable, steps, stops
from storage.database import Database, PlatformTx, Tx
from storage.model import Claim, JobId, JobState, StepId, StepState, new_job_id
from storage.tenants import ensure
from storage.unique_model import UniqueMode
from tasks.document import parse
from tasks.submit import submit
from tests.storage import model_of_steps as model
from tests.storage import numbers
from tests.storage.both_of_steps import FINISHES, INTERRUPTIONS, LOOKS, Both, writes
from tests.storage.model_of_jobs import ENDED, ModelJob, ModelStep, World
from tests.storage.rows_of_steps import check_change, check_rows, rows_in, rows_of, told_since
from tests.storage.shapes import SHAPES, Shape, document

T = TypeVar("T")

MAX_JOBS = 5
DEADLINE: dict[str, Any] = {"deadline_seconds": 3600}
PICK = st.integers(0, 99)  # which one of those that are there
WORKER = st.sampled_from(["w1", "w2"])
QUEUE = st.sampled_from(["default", "calls"])
Move = tuple[int, str, str]
MOVES = st.lists(
    st.tuples(PICK, WORKER, st.sampled_from(("succeed", *["lose"] * 4, *FINISHES, *INTERRUPTIONS, *LOOKS))),
    min_size=1,
    max_size=6,
)


class Machine(RuleBasedStateMachine):
    """A tenant of its own in a database that others share one after the other; `counts`: actions, and ends seen."""

    def __init__(self, database: Database, counts: Counter[str]) -> None:
        super().__init__()
        self.database, self.counts = database, counts
        self.world = World()
        self.ids: dict[tuple[JobId, str], StepId] = {}  # of all steps that there ever were
        self.claims: list[Claim] = []
        self.begun_after: dict[tuple[JobId, str], int] = {}
        self.retried: JobId | None = None
        self.begun = False
        self.rows = rows_of(self.world)
        with database.platform() as tx:
            self.tenant = ensure(tx, secrets.token_hex(8))
        self.both = Both(database=database, tenant=self.tenant)

    def teardown(self) -> None:
        with self.database.platform() as tx:
            tx.sql("DELETE FROM jobs")
            tx.sql("UPDATE queues SET paused_at = NULL")

    @invariant()
    def the_database_is_as_the_rules_say(self) -> None:
        with self.database.read(self.tenant) as tx:
            rows = rows_in(tx)
        assert rows == rows_of(self.world)
        check_rows(rows, self.begun_after)
        check_change(self.rows, rows, retried=self.retried, paused=frozenset(self.world.paused))
        self.counts.update(told_since(self.rows, rows))
        self.counts["actions"] += self.begun
        if self.counts["actions"] % 7 == 0:
            numbers.check(self.database)
        self.rows, self.retried, self.begun = rows, None, True

    @initialize(shapes=st.lists(st.sampled_from(SHAPES), min_size=1, max_size=2))
    def begin(self, shapes: list[Shape]) -> None:
        for shape in shapes:
            self._submit(shape, DEADLINE)

    @precondition(lambda self: len(self.world.jobs) < MAX_JOBS)
    @rule(
        shape=st.sampled_from(SHAPES),
        deadline=st.booleans(),
        key=st.sampled_from(["k1", "k2"]),
        mode=st.sampled_from([None, *UniqueMode]),
    )
    def submit_one(self, shape: Shape, deadline: bool, key: str, mode: UniqueMode | None) -> None:
        asked = DEADLINE if deadline else {}
        if mode:
            asked = asked | {
                "unique_key": key,
                "unique": {"ttl_seconds": 3600} if mode is UniqueMode.TTL else mode.value,
            }
        self._submit(shape, asked, key if mode else None, mode)

    @precondition(lambda self: self.world.steps_in(StepState.QUEUED))
    @rule(pick=PICK, worker=WORKER)
    def claim_what_is_queued(self, pick: int, worker: str) -> None:
        job, step = _one(self.world.steps_in(StepState.QUEUED), pick)
        self._claim(job.id, step.name, worker)

    @rule(pick=PICK, worker=WORKER)
    def claim_anything(self, pick: int, worker: str) -> None:
        self._claim(*_one(list(self.ids), pick), worker)

    # Hypothesis leaves half of the rules out of each example: this one has three names, to be in most of them.
    @rule(moves=MOVES)
    def work(self, moves: list[Move]) -> None:
        self._work(moves)

    @rule(moves=MOVES)
    def work_more(self, moves: list[Move]) -> None:
        self._work(moves)

    @rule(moves=MOVES)
    def work_on(self, moves: list[Move]) -> None:
        self._work(moves)

    @precondition(lambda self: self.good())
    @rule(pick=PICK, how=st.sampled_from(LOOKS))
    def look(self, pick: int, how: str) -> None:
        self._write(_one(self.good(), pick), how)

    @precondition(lambda self: self.good())
    @rule(pick=PICK, how=st.sampled_from(("succeed", *FINISHES)))
    def finish(self, pick: int, how: str) -> None:
        self._write(_one(self.good(), pick), how)

    @precondition(lambda self: self.good())
    @rule(pick=PICK, how=st.sampled_from(("lose", *INTERRUPTIONS)))
    def interrupt(self, pick: int, how: str) -> None:
        self._write(_one(self.good(), pick), how)

    @precondition(lambda self: self.unwanted())
    @rule(pick=PICK)
    def stop_working(self, pick: int) -> None:
        self._write(_one(self.unwanted(), pick), "end stopped")

    @precondition(lambda self: self.stale())
    @rule(pick=PICK, how=st.sampled_from((*FINISHES, *INTERRUPTIONS, *LOOKS, "end stopped")))
    def write_too_late(self, pick: int, how: str) -> None:
        before = self.rows
        self._write(_one(self.stale(), pick), how)
        with self.database.read(self.tenant) as tx:
            assert rows_in(tx) == before, "an old claim changes nothing"

    @precondition(lambda self: self.good())
    @rule(pick=PICK)
    def a_lease_runs_out(self, pick: int) -> None:
        claim = _one(self.good(), pick)
        self.world.must_hold(claim)[1].lapsed = True
        self.both.change("UPDATE steps SET lease_until = now() - interval '1s' WHERE id = %(id)s", claim.step_id)
        lapsed = {self.ids[job.id, step.name] for job, step in self.world.steps_in(StepState.RUNNING) if step.lapsed}
        with self.database.platform_read() as tx:
            assert {late.step_id for late in runnable.expired_leases(tx, limit=1000)} == lapsed

    @precondition(lambda self: self.claims)
    @rule(worker=WORKER)
    def renew(self, worker: str) -> None:
        """A worker renews whatever it may think it holds, and asks what of it is not wanted any more."""
        ours = [(job, step) for job, step in self.world.steps_in(StepState.RUNNING) if step.worker == worker]
        for _, step in ours:
            step.lapsed = False
        held = [(self.tenant, claim.step_id) for claim in self.claims]
        self.both.act_on_platform(lambda: len(ours), lambda tx: runnable.renew(tx, worker, held, lease_seconds=30))
        with self.database.platform_read() as tx:
            found = {one.claim.step_id for one in runnable.unwanted(tx, worker, held, for_seconds=0)}
        assert found == {self.ids[job.id, step.name] for job, step in ours if job.stopping}

    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        running = [job.id for job, _ in self.world.steps_in(StepState.RUNNING)]
        job_id = _one(running or self.known() if pick % 4 else self.known(), pick)
        self.both.act(lambda: model.cancel(self.world, job_id), lambda tx: stops.cancel(tx, job_id))

    @precondition(lambda self: self.world.with_deadline())
    @rule(pick=PICK, ends=st.booleans())
    def a_deadline_passes(self, pick: int, ends: bool) -> None:
        running = [job for job in self.world.with_deadline() if job.state is JobState.RUNNING]
        job = _one(running or self.world.with_deadline(), pick)
        job.overdue = True
        self.both.change("UPDATE jobs SET deadline_at = now() - interval '1s' WHERE id = %(id)s", job.id)
        overdue = {job.id for job in self.world.with_deadline() if job.overdue and not job.ended and not job.stopping}
        with self.database.platform_read() as tx:
            assert {job_id for _, job_id in stops.overdue(tx, limit=1000)} == overdue
        if ends:
            self.both.act(lambda: model.expire(self.world, job.id), lambda tx: stops.expire(tx, job.id))

    @rule(pick=PICK)
    def expire(self, pick: int) -> None:
        late = [job.id for job in self.world.jobs.values() if job.overdue]
        job_id = _one(late or self.known(), pick)
        self.both.act(lambda: model.expire(self.world, job_id), lambda tx: stops.expire(tx, job_id))

    @precondition(lambda self: self.world.steps_in(StepState.RETRYING))
    @rule(pick=PICK, comes=st.booleans())
    def make_due(self, pick: int, comes: bool) -> None:
        job, step = _one(self.world.steps_in(StepState.RETRYING), pick)
        if comes:
            step.due = True
            self.both.change(
                "UPDATE steps SET run_at = now() - interval '1s' WHERE id = %(id)s", self.ids[job.id, step.name]
            )
        self.both.act_on_platform(
            lambda: model.make_due(self.world), lambda tx: runnable.make_due_queued(tx, limit=1000).steps
        )

    @rule(queue=QUEUE)
    def publish(self, queue: str) -> None:
        """What the relay does: it sends from a queue that has room, which one that is paused never has."""

        def real(tx: PlatformTx) -> set[StepId]:
            found = publishing.room(tx, [queue], window=1000).get(queue)
            room = 1000 - found.sent if found else 0
            return {sent.step_id for sent in publishing.take_to_publish(tx, queue, limit=room)}

        self.both.act_on_platform(lambda: {self.ids[key] for key in model.publish(self.world, queue)}, real)

    @rule()
    def fold(self) -> None:
        with self.database.platform() as tx:
            journal.fold(tx, limit=1000)

    @rule(queue=QUEUE, on=st.booleans())
    def pause_or_resume(self, queue: str, on: bool) -> None:
        change = self.world.paused.discard if on else self.world.paused.add
        act = queues.resume if on else queues.pause
        self.both.act_on_platform(lambda: change(queue), lambda tx: act(tx, queue))

    @rule(pick=PICK, whole=st.booleans())
    def run_again(self, pick: int, whole: bool) -> None:
        ended = [job.id for job in self.world.jobs.values() if job.ended]
        job_id = _one(ended or self.known(), pick)
        self.both.act(
            lambda: model.run_again(self.world, job_id, whole), lambda tx: replays.retry(tx, job_id, whole=whole)
        )
        job = self.world.jobs.get(job_id)
        if job and job_id in ended and not job.ended:
            self.retried = job_id
            self.begun_after |= {
                (job_id, step.name): step.attempt for step in job.steps.values() if step.state not in ENDED
            }

    @rule(pick=PICK)
    def delete(self, pick: int) -> None:
        job_id = _one(self.known(), pick)
        self.both.act(lambda: model.delete(self.world, job_id), lambda tx: retention.delete(tx, job_id))

    def known(self) -> list[JobId]:
        """All jobs that there ever were, those that still are first."""
        return list(dict.fromkeys([*self.world.jobs, *(job_id for job_id, _ in self.ids)]))

    def good(self) -> list[Claim]:
        return [claim for claim in self.claims if self.world.held(claim)]

    def stale(self) -> list[Claim]:
        return [claim for claim in self.claims if not self.world.held(claim)]

    def unwanted(self) -> list[Claim]:
        return [claim for claim in self.good() if self.world.must_hold(claim)[0].stopping]

    def _submit(
        self, shape: Shape, asked: dict[str, Any], key: str | None = None, mode: UniqueMode | None = None
    ) -> None:
        spec = parse(document(shape, asked))
        its_steps = {name: ModelStep(name=name, queue=of, uses=uses) for name, (of, uses) in shape.items()}
        job = ModelJob(id=new_job_id(), steps=its_steps, has_deadline="deadline_seconds" in asked, key=key, mode=mode)

        def real(tx: Tx) -> JobId:
            made = submit(tx, spec, job_id=job.id, file=None)
            assert made.created == (made.job.id == job.id)
            self.ids |= {(made.job.id, step.name): step.id for step in made.job.steps}
            return made.job.id

        self.both.act(lambda: model.submit(self.world, job), real)

    def _claim(self, job_id: JobId, name: str, worker: str) -> None:
        def real(tx: Tx) -> int | None:
            claim = steps.claim(tx, job_id, self.ids[job_id, name], worker=worker, slot=1, lease_seconds=30)
            self.claims += [claim] if claim else []
            return claim.attempt if claim else None

        self.both.act(lambda: model.claim(self.world, job_id, name, worker), real)

    def _work(self, moves: list[Move]) -> None:
        """Workers do what there is to do; where there is nothing, queues go on, and a job is put in or told to run."""
        for pick, worker, how in moves:
            open_now: list[Claim | tuple[JobId, str]] = [*self.good(), *self.world.claimable()]
            if open_now:
                found = _one(open_now, pick)
                if isinstance(found, Claim):
                    self._write(found, how)
                else:
                    self._claim(*found, worker)
            elif self.world.paused:
                self.pause_or_resume(min(self.world.paused), on=True)
            elif len(self.world.jobs) < MAX_JOBS:
                self._submit(SHAPES[pick % len(SHAPES)], DEADLINE)
            else:
                self.run_again(pick, whole=True)
            self.the_database_is_as_the_rules_say()

    def _write(self, claim: Claim, how: str) -> None:
        self.both.act(*writes(self.world, claim)[how])


def _one(candidates: Sequence[T], pick: int) -> T:
    return candidates[pick % len(candidates)]
