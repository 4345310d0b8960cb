"""The rules of jobs and steps as plain functions, to compare the database with: from the rules, not from the SQL."""

from collections.abc import Sequence

from storage.errors import JobEnded, JobNotEnded, JobStopping, NothingToRetry, UniqueKeyTaken
from storage.model import Claim, JobId, JobState, Json, Outcome, StepState
from storage.unique_model import UniqueMode
from tests.storage.model_of_jobs import ENDED, ModelJob, ModelStep, World

MAX_LOSSES = 3
STOP_CODES = {StepState.CANCELED: "job_canceled", StepState.EXPIRED: "deadline_passed"}


def submit(world: World, job: ModelJob) -> JobId:
    """The id of the job that stands for what was submitted: itself, or the one that holds its key."""
    if (holder := _holder_of_key(world, job)) is not None:
        return holder
    if job.key is not None:
        world.keys[job.key] = job.id
    world.jobs[job.id] = job
    _queue_ready(job)
    job.tell("job.queued")
    return job.id


def _holder_of_key(world: World, job: ModelJob) -> JobId | None:
    """The other job that keeps this one away, by what this one asks."""
    holder = world.jobs.get(world.keys.get(job.key or "", JobId("")))
    if holder is None or job.mode is None or holder.id == job.id:
        return None
    holds = {
        UniqueMode.WHILE_QUEUED: holder.state is JobState.QUEUED,
        UniqueMode.WHILE_ACTIVE: not holder.ended,
        UniqueMode.TTL: True,
    }
    return holder.id if holds[job.mode] else None


def claim(world: World, job_id: JobId, name: str, worker: str) -> int | None:
    """The number of the attempt that begins, None if none may."""
    job = world.jobs.get(job_id)
    if job is None or job.stopping or job.overdue or job.steps[name].state is not StepState.QUEUED:
        return None
    step = job.steps[name]
    if step.queue in world.paused:
        step.sent = False
        return None
    if not job.started:
        job.tell("job.running")
    job.started = True
    step.state, step.attempt, step.progress, step.error = StepState.RUNNING, step.attempt + 1, 0.0, None
    step.worker, step.lapsed = worker, False
    job.tell("step.running", step)
    return step.attempt


def check(world: World, claim: Claim) -> None:
    job, _ = world.must_hold(claim)
    if job.stopping:
        raise JobStopping


def report(world: World, claim: Claim, progress: float) -> None:
    check(world, claim)
    job, step = world.must_hold(claim)
    step.progress = progress
    job.tell("step.progress", step, attempt=False)


def succeed(world: World, claim: Claim, result: Json) -> None:
    job, step = world.must_hold(claim)
    step.result, step.progress = result, 1.0
    _end_attempt(step, StepState.SUCCEEDED, Outcome.SUCCEEDED, None)
    job.tell("step.succeeded", step)
    _queue_ready(job)
    _conclude(world, job)


def fail(world: World, claim: Claim, code: str, outcome: Outcome = Outcome.FAILED) -> None:
    job, step = world.must_hold(claim)
    _end_attempt(step, StepState.FAILED, outcome, code)
    job.tell("step.failed", step)
    while behind := [one for one in job.steps.values() if one.state is StepState.WAITING and _hopeless(job, one)]:
        _end_unstarted(job, behind, StepState.CANCELED, "dependency_failed")
    job.error = job.error or "step_failed"
    _conclude(world, job)


def retry(world: World, claim: Claim, code: str, delay: float, counts: bool = True) -> None:
    job, step = world.must_hold(claim)
    if job.stopping:
        return end_stopped(world, claim)
    step.due = delay == 0
    _end_attempt(step, StepState.RETRYING, Outcome.RETRIED, code, counts)
    return job.tell("step.retrying", step)


def end_stopped(world: World, claim: Claim) -> None:
    """For claims on jobs that are being stopped, and for claims that are good no longer."""
    job, step = world.must_hold(claim)
    assert job.stopping, "nobody asks this of a job that goes on"
    _end_attempt(step, job.stopping, Outcome.CANCELED, STOP_CODES[job.stopping])
    job.tell(f"step.{job.stopping}", step, attempt=False)
    _conclude(world, job)


def lose(world: World, claim: Claim, code: str, only_if_expired: bool) -> bool:
    found = world.held(claim)
    if found is None or (only_if_expired and not found[1].lapsed):
        return False
    job, step = found
    if job.stopping:
        end_stopped(world, claim)
    elif step.losses + 1 == MAX_LOSSES:
        fail(world, claim, "poison", Outcome.LOST)
    else:
        _queue_again(job, step, Outcome.LOST, code)
    return True


def hand_back(world: World, claim: Claim, code: str) -> bool:
    if (found := world.held(claim)) is None:
        return False
    if found[0].stopping:
        end_stopped(world, claim)
    else:
        _queue_again(*found, Outcome.RETURNED, code)
    return True


def cancel(world: World, job_id: JobId) -> JobState | None:
    job = world.jobs.get(job_id)
    if job is None:
        return None
    if job.ended and job.state is not JobState.CANCELED:
        raise JobEnded
    if not job.ended and not job.stopping:
        _stop(world, job, StepState.CANCELED)
    return job.state


def expire(world: World, job_id: JobId) -> bool:
    job = world.jobs.get(job_id)
    if job is None or job.ended or job.stopping or not job.overdue:
        return False
    _stop(world, job, StepState.EXPIRED)
    return True


def run_again(world: World, job_id: JobId, whole: bool) -> bool:
    job = world.jobs.get(job_id)
    if job is None:
        return False
    if not job.ended:
        raise JobNotEnded
    if _holder_of_key(world, job) is not None:
        raise UniqueKeyTaken
    whole = whole or job.state is JobState.CANCELED
    again = [step for step in job.steps.values() if whole or step.state is not StepState.SUCCEEDED]
    if not again:
        raise NothingToRetry
    for step in again:
        step.state, step.failures, step.losses, step.progress = StepState.WAITING, 0, 0, 0.0
        step.error, step.result = None, None
    if job.key is not None:
        world.keys[job.key] = job.id
    job.stopping, job.error, job.started, job.overdue = None, None, False, False
    world.removals -= {(job_id, True), (job_id, False)}
    _queue_ready(job)
    job.tell("job.queued")
    return True


def delete(world: World, job_id: JobId) -> bool:
    job = world.jobs.get(job_id)
    if job is None:
        return False
    if not job.ended:
        raise JobNotEnded
    del world.jobs[job_id]
    world.keys = {key: holder for key, holder in world.keys.items() if holder != job_id}
    world.removals.add((job_id, False))
    return True


def make_due(world: World) -> int:
    due = [step for _, step in world.every_step() if step.state is StepState.RETRYING and step.due]
    for step in due:
        step.state, step.sent = StepState.QUEUED, False
    return len(due)


def publish(world: World, queue: str) -> set[tuple[JobId, str]]:
    """What a relay sends of a queue that it may send from."""
    found = [(job, step) for job, step in world.every_step() if step.state is StepState.QUEUED and not step.sent]
    sent = [(job, step) for job, step in found if step.queue == queue and queue not in world.paused]
    for _, step in sent:
        step.sent = True
    return {(job.id, step.name) for job, step in sent}


def _queue_ready(job: ModelJob) -> None:
    for step in job.steps.values():
        if step.state is StepState.WAITING and not job.lacking(step):
            step.state, step.sent = StepState.QUEUED, False


def _queue_again(job: ModelJob, step: ModelStep, outcome: Outcome, code: str) -> None:
    _end_attempt(step, StepState.QUEUED, outcome, code)
    step.sent = False
    job.tell("step.queued", step)


def _end_attempt(step: ModelStep, state: StepState, outcome: Outcome, code: str | None, counts: bool = True) -> None:
    step.state, step.error = state, code
    step.failures += counts and outcome in (Outcome.FAILED, Outcome.RETRIED)
    step.losses += outcome is Outcome.LOST
    step.outcomes.append((step.attempt, outcome, code))


def _hopeless(job: ModelJob, step: ModelStep) -> bool:
    return any(job.steps[name].state in ENDED - {StepState.SUCCEEDED} for name in step.uses)


def _end_unstarted(job: ModelJob, steps: Sequence[ModelStep], state: StepState, code: str) -> None:
    for step in steps:
        step.state, step.error = state, code
        job.tell(f"step.{state}", step, attempt=False)


def _stop(world: World, job: ModelJob, state: StepState) -> None:
    job.stopping, job.error = state, STOP_CODES[state]
    unstarted = [step for step in job.steps.values() if step.state not in {*ENDED, StepState.RUNNING}]
    _end_unstarted(job, unstarted, state, STOP_CODES[state])
    if not _conclude(world, job):
        job.tell("job.stopping")


def _conclude(world: World, job: ModelJob) -> bool:
    """Tell of the job's end, if this was its last step; a canceled job's outputs are of no use to anybody."""
    if not job.ended:
        return False
    job.tell(f"job.{job.state}")
    if job.state is JobState.CANCELED:
        world.removals.add((job.id, True))
        for step in job.steps.values():
            if step.result is not None:
                step.result = {name: value for name, value in step.result.items() if name != "outputs"}
    return True
