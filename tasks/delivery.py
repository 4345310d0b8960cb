"""What is sent to a webhook, and when it is sent again. Pure, but for the dice."""

import json
import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from storage.model import Job, Json
from storage.webhook_model import ENDS, OF_JOBS, Delivery
from tasks.job_document import job_document, job_summary

# After each failed try; the one after the last of them is the end.
WAITS_SECONDS = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
MAX_TRIES = len(WAITS_SECONDS) + 1
JITTER = 0.1  # of a wait, shorter or longer

GONE = 410  # the receiver wants nothing any more
_BUSY = (429, 503)  # says when to come back
LONGEST_WISH_SECONDS = 86_400.0


def seconds_to_next_try(tries: int, *, wish_seconds: float = 0.0) -> float | None:
    """Seconds until the next try, after so many that have failed, with this one; None if it was the last.

    `wish_seconds` is what the receiver asked for: never sooner. It uses up a try all the same: a receiver that is busy
    for days must not be tried for ever.
    """
    if tries >= MAX_TRIES:
        return None
    wait = WAITS_SECONDS[tries - 1] * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreads load
    return max(wait, min(wish_seconds, LONGEST_WISH_SECONDS))


def wish_seconds(status: int, retry_after: str | None, *, now: datetime) -> float:
    """How long a receiver that is busy wants to be left alone: 0 if it does not say.

    Retry-After has seconds, or a date (RFC 9110, 10.2.3).
    """
    if status not in _BUSY or retry_after is None:
        return 0.0
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:10]), LONGEST_WISH_SECONDS)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return 0.0
    seconds = ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()
    return min(max(seconds, 0.0), LONGEST_WISH_SECONDS)


def is_delivered(status: int) -> bool:
    """Whether the receiver has it; a redirect says that it is elsewhere, and is not followed."""
    return 200 <= status < 300


def body_of(delivery: Delivery, job: Job | None, public_url: str) -> str:
    """The message as JSON: {"type", "timestamp" (of the event, RFC 3339), "data"}.

    `data` is the job's document as it stands; with "step", the step's name, if it tells of a step; without "steps" for
    a job that is given without them, being too large; and of a job that is gone {"id", "state"} alone. What tells of no
    job has the data that was written with it.
    """
    message = {
        "type": delivery.type.value,
        "timestamp": delivery.happened_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "data": _of_job(delivery, job, public_url) if delivery.type in OF_JOBS else delivery.data,
    }
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))


def _of_job(delivery: Delivery, job: Job | None, public_url: str) -> dict[str, Json]:
    ended = delivery.type in ENDS
    if job is not None:
        data = (job_document if job.steps else job_summary)(job, public_url).model_dump(mode="json")
    else:
        data = {"id": delivery.job_id, "state": delivery.type.value.partition(".")[2] if ended else None}
    return data if ended else {**data, "step": delivery.data["step"]}
