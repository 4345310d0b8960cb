"""Counts attempts and jobs where their end is written, after the commit: in whatever process that is."""

from functools import partial

from storage.database import PlatformTx, Tx
from storage.model import Claim, JobState, Outcome, PublicError
from storage.telemetry.metrics import DEAD_LETTERS, JOB_SECONDS, JOBS, STEP_ERRORS, STEP_RUN, STEPS

STOPPED = "stopped"
_OUTCOMES = {
    Outcome.SUCCEEDED: "succeeded",
    Outcome.FAILED: "failed",
    Outcome.RETRIED: "retrying",
    Outcome.LOST: "lost",
    Outcome.RETURNED: "returned",
    Outcome.CANCELED: STOPPED,
}
_ERRORS = frozenset({Outcome.FAILED, Outcome.RETRIED, Outcome.LOST})


def attempt(tx: Tx, claim: Claim, outcome: Outcome, error: PublicError | None, *, seconds: float) -> None:
    """An attempt that took so long ends with this transaction.

    A result that met its `stop_when` is no failure, and its code is the tenant's: it counts as stopped.
    """
    is_wanted = claim.stop_when is not None and error is not None and error.code == claim.stop_when.code
    tx.after_commit(partial(STEPS.add, claim.kind, STOPPED if is_wanted else _OUTCOMES[outcome]))
    tx.after_commit(partial(STEP_RUN.observe, seconds, claim.kind))
    if error is not None and outcome in _ERRORS and not is_wanted:
        tx.after_commit(partial(STEP_ERRORS.add, claim.kind, error.code))


def succeeded(tx: Tx | PlatformTx, claim: Claim, *, seconds: float) -> None:
    """An attempt that took so long ends with this transaction, and its step has succeeded."""
    tx.after_commit(partial(STEPS.add, claim.kind, _OUTCOMES[Outcome.SUCCEEDED]))
    tx.after_commit(partial(STEP_RUN.observe, seconds, claim.kind))


def dead(tx: Tx, claim: Claim, error: PublicError) -> None:
    """A step fails for good with this transaction."""
    tx.after_commit(partial(DEAD_LETTERS.add, claim.kind, error.code))


def job(tx: Tx | PlatformTx, state: JobState, *, seconds: float) -> None:
    """A job ends with this transaction, so long after it was accepted."""
    tx.after_commit(partial(JOBS.add, state.value))
    tx.after_commit(partial(JOB_SECONDS.observe, seconds, state.value))
