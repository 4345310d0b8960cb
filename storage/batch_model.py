"""What batches look like to the rest of the code. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from storage.batch_ids import BatchId
from storage.model import TERMINAL_JOB_STATES, JobId, JobState, Json, Notify


class BatchState(StrEnum):
    RUNNING = "running"
    CANCELING = "canceling"  # it was told to end, and some of its jobs have not yet
    FINISHED = "finished"  # every job has ended


@dataclass(frozen=True, kw_only=True, slots=True)
class LineError:
    """A line that became no job: `flaws` are (pointer, detail), `job_id` is another job that has its unique_key."""

    line: int
    code: str
    detail: str
    flaws: Sequence[tuple[str, str]] = ()
    job_id: JobId | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NewBatch:
    """A batch to be written; how many of its lines became jobs, were other jobs already, and were refused."""

    id: BatchId
    name: str
    metadata: Json
    notify: Notify | None
    accepted: int
    existing: int
    refused: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """A batch as it stands; `states` counts its jobs that are still there, by state."""

    id: BatchId
    name: str
    metadata: Json
    notify: Notify | None
    accepted: int
    existing: int
    refused: int
    created_at: datetime
    canceled_at: datetime | None
    finished_at: datetime | None
    states: Mapping[JobState, int] = field(default_factory=dict)

    @property
    def state(self) -> BatchState:
        if self.finished_at is not None:
            return BatchState.FINISHED
        return BatchState.RUNNING if self.canceled_at is None else BatchState.CANCELING

    @property
    def deleted(self) -> int:
        """Jobs that are not there any more; only ended ones are ever deleted."""
        return self.accepted - sum(self.states.values())

    @property
    def progress(self) -> float:
        """The share of its jobs that have ended, 0..1; 1 where there are none."""
        going = sum(count for state, count in self.states.items() if state not in TERMINAL_JOB_STATES)
        return 1.0 if self.accepted == 0 else (self.accepted - going) / self.accepted
