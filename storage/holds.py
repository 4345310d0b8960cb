"""Steps that may not start yet although their time has come: looked at before they are claimed, and put off."""

from collections.abc import Sequence
from dataclasses import dataclass

from storage import steps
from storage.database import Tx
from storage.model import JobId, Json, StepId, Used

SOON_SECONDS = 1.0  # the relay looks by itself as often as this

_LOOK = """
SELECT name, params, uses, attempt, extract(epoch FROM clock_timestamp() - first_started_at)::float AS tried_seconds
FROM steps
WHERE tenant_id = %(tenant)s AND id = %(step)s AND job_id = %(job)s AND state = 'queued'
"""

# No lock on the job is needed: one row, and nothing of the job depends on it. Hundreds may be put off while others wait
# behind them, so the statement is its own transaction and does not wait for the disk: what a crash of the database
# forgets of it is a step that is still queued, whose hint is sent again.
_HOLD = """
UPDATE steps
SET state = 'scheduled', run_at = clock_timestamp() + make_interval(secs => %(seconds)s), published_at = NULL,
    held_for = %(reason)s
FROM (SELECT set_config('synchronous_commit', 'off', true)) AS hasty
WHERE tenant_id = %(tenant)s AND id = %(step)s AND job_id = %(job)s AND state = 'queued'
RETURNING CASE WHEN %(seconds)s < %(soon)s THEN pg_notify('millrace_ready', '') END
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Queued:
    """What a step that may run asks for. `attempt` is the latest; `tried_seconds` ago the first began, None if none."""

    name: str
    params: Json
    uses: Sequence[str]
    attempt: int
    tried_seconds: float | None


def look(tx: Tx, job_id: JobId, step_id: StepId) -> Queued | None:
    """The step as it is queued; None if it is not, or not any more."""
    row = tx.sql(_LOOK, job=job_id, step=step_id).one_or_none()
    if row is None:
        return None
    return Queued(
        name=row.name,
        params=row.params,
        uses=tuple(row.uses),
        attempt=row.attempt,
        tried_seconds=row.tried_seconds,
    )


def used_by(tx: Tx, job_id: JobId, queued: Queued) -> Sequence[Used]:
    """The finished steps that it uses, with their results."""
    return steps.used(tx, job_id, list(queued.uses))


def hold(tx: Tx, job_id: JobId, step_id: StepId, *, seconds: float, reason: str) -> bool:
    """Put a queued step off, which counts as no attempt; `reason` is shown to its owner. False if it is not queued."""
    held = tx.sql(_HOLD, job=job_id, step=step_id, seconds=seconds, reason=reason, soon=SOON_SECONDS)
    return bool(held.rowcount)
