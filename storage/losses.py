"""A step that its worker can work on no longer: lost with it, or handed back by it."""

from dataclasses import asdict

from storage import events, steps
from storage.database import Tx
from storage.ending import end_attempt, lock_job
from storage.fingerprints import fingerprint
from storage.model import Claim, Outcome, PublicError, StepState
from storage.telemetry import failures, trace_rows

_STILL_HELD = """
SELECT losses, max_losses FROM steps
WHERE tenant_id = %(tenant)s AND id = %(step)s AND attempt = %(attempt)s AND state = 'running'
  AND (%(any_lease)s OR lease_until < clock_timestamp())
FOR UPDATE
"""


def lose(tx: Tx, claim: Claim, error: PublicError, *, only_if_expired: bool) -> bool:
    """Take a running step from the worker that held it and queue it again, as an attempt that was lost for `error`.

    At its `max_losses`th loss it fails for good as poison. With `only_if_expired` a lease that was renewed in the
    meantime is left alone. Returns whether it was taken.
    """
    job = lock_job(tx, claim.job_id)
    held = tx.sql(_STILL_HELD, step=claim.step_id, attempt=claim.attempt, any_lease=not only_if_expired).one_or_none()
    if held is None:
        return False
    if job.stop_as is not None:
        steps.end_stopped(tx, claim)
    elif held.losses + 1 >= held.max_losses:
        steps.fail(tx, claim, _poison(error, held.losses + 1), outcome=Outcome.LOST)
        about = {"tenant": claim.tenant_id, "job": claim.job_id, "step": claim.step_id, "kind": claim.kind}
        failures.say(f"poison: {error.message}", group=(claim.kind, "poison", error.code), **about)
    else:
        _queue_again(tx, claim, Outcome.LOST, error)
    trace_rows.tell_lost(tx, claim)
    return True


def hand_back(tx: Tx, claim: Claim, reason: PublicError) -> bool:
    """Queue a running step again whose worker was told to stop; it counts as no failure. False if it was not held."""
    job = lock_job(tx, claim.job_id)
    if tx.sql(_STILL_HELD, step=claim.step_id, attempt=claim.attempt, any_lease=True).one_or_none() is None:
        return False
    if job.stop_as is not None:
        steps.end_stopped(tx, claim)
    else:
        _queue_again(tx, claim, Outcome.RETURNED, reason)
    trace_rows.tell_lost(tx, claim)
    return True


def _queue_again(tx: Tx, claim: Claim, outcome: Outcome, error: PublicError) -> None:
    end_attempt(tx, claim, StepState.QUEUED, outcome, error=error)
    data = {"step": claim.name, "attempt": claim.attempt, "outcome": outcome.value, "error": asdict(error)}
    events.append(tx, claim.job_id, [("step.queued", data)])
    events.announce_ready(tx)


def _poison(error: PublicError, losses: int) -> PublicError:
    message = f"the step was given up after it had lost its worker {losses} times; at last: {error.message}"
    return PublicError(code="poison", message=message, fingerprint=fingerprint("poison", error.code))
