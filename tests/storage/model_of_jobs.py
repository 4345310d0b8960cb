"""What the model of jobs and steps remembers; tests/storage/model_of_steps.py has its rules.

What can be derived is not kept: a job's state, its open and unmet steps, what a step still waits for.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from storage.errors import LeaseLost
from storage.model import Claim, JobId, JobState, Json, Outcome, StepState
from storage.unique_model import UniqueMode

ENDED = frozenset({StepState.SUCCEEDED, StepState.FAILED, StepState.CANCELED, StepState.EXPIRED})

Told = tuple[str, str | None, int | None]  # an event: its type, its step, its attempt


@dataclass(kw_only=True, slots=True)
class ModelStep:
    """A step; `due`: its run_at has passed, `lapsed`: its lease ran out, `sent`: the relay has sent its hint."""

    name: str
    queue: str
    uses: Sequence[str]
    state: StepState = StepState.WAITING
    attempt: int = 0
    failures: int = 0
    losses: int = 0
    progress: float = 0.0
    error: str | None = None
    result: Json = None
    worker: str | None = None
    due: bool = False
    lapsed: bool = False
    sent: bool = False
    outcomes: list[tuple[int, Outcome, str | None]] = field(default_factory=list)


@dataclass(kw_only=True, slots=True)
class ModelJob:
    """A job; `started`: one of its steps has started since it was last told to run."""

    id: JobId
    steps: Mapping[str, ModelStep]
    has_deadline: bool = False
    key: str | None = None
    mode: UniqueMode | None = None
    overdue: bool = False
    stopping: StepState | None = None
    started: bool = False
    error: str | None = None
    told: list[Told] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        return all(step.state in ENDED for step in self.steps.values())

    @property
    def state(self) -> JobState:
        if not self.ended:
            return JobState.RUNNING if self.started else JobState.QUEUED
        if self.stopping:
            return JobState(self.stopping)
        done = all(step.state is StepState.SUCCEEDED for step in self.steps.values())
        return JobState.SUCCEEDED if done else JobState.FAILED

    def lacking(self, step: ModelStep) -> int:
        """How many of the steps that it uses have not succeeded."""
        return sum(self.steps[name].state is not StepState.SUCCEEDED for name in step.uses)

    def tell(self, kind: str, step: ModelStep | None = None, *, attempt: bool = True) -> None:
        self.told.append((kind, step.name if step else None, step.attempt if step and attempt else None))


@dataclass(kw_only=True, slots=True)
class World:
    """All that one tenant has, and the queues that stand still; `keys` names the newest job of each unique key."""

    jobs: dict[JobId, ModelJob] = field(default_factory=dict)
    keys: dict[str, JobId] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)
    removals: set[tuple[JobId, bool]] = field(default_factory=set)

    def every_step(self) -> Iterator[tuple[ModelJob, ModelStep]]:
        return ((job, step) for job in self.jobs.values() for step in job.steps.values())

    def steps_in(self, state: StepState) -> list[tuple[ModelJob, ModelStep]]:
        return [(job, step) for job, step in self.every_step() if step.state is state]

    def claimable(self) -> list[tuple[JobId, str]]:
        queued = [(job, step) for job, step in self.steps_in(StepState.QUEUED) if step.queue not in self.paused]
        return [(job.id, step.name) for job, step in queued if not job.stopping and not job.overdue]

    def with_deadline(self) -> list[ModelJob]:
        return [job for job in self.jobs.values() if job.has_deadline]

    def held(self, claim: Claim) -> tuple[ModelJob, ModelStep] | None:
        """The job and step of a claim that is still good."""
        job = self.jobs.get(claim.job_id)
        step = job.steps[claim.name] if job else None
        if job and step and step.state is StepState.RUNNING and step.attempt == claim.attempt:
            return job, step
        return None

    def must_hold(self, claim: Claim) -> tuple[ModelJob, ModelStep]:
        if (found := self.held(claim)) is None:
            raise LeaseLost
        return found
