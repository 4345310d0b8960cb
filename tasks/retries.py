"""When a failed step is tried again. Pure, but for the dice."""

import random

from storage.model import Claim, PublicError
from tasks.names import Kind, Retry

# Failures that are ours and not the step's: they count as none, and it is tried again until its deadline.
OURS = {"storage_unavailable": Retry(first_seconds=1.0, longest_seconds=30.0)}

LONGEST_WISH_SECONDS = 86_400.0  # what a third party may ask us to wait


def seconds_to_next_attempt(
    kind: Kind, claim: Claim, error: PublicError, *, ran_seconds: float, wish_seconds: float | None = None
) -> float | None:
    """Seconds until the next attempt; None if the one that failed for `error`, after `ran_seconds`, was the last.

    `wish_seconds` is what a third party asked for (Retry-After): never sooner, and not all at once then.
    """
    of_code = kind.retry_by_code.get(error.code)
    policy = of_code or OURS.get(error.code) or kind.retry
    failures = claim.failures + 1
    if is_ours(kind, error):
        failures = claim.attempt
    elif failures >= (of_code.max_attempts if of_code else claim.max_attempts):
        return None
    delay = jittered_seconds(policy, failures) + min(wish_seconds or 0.0, LONGEST_WISH_SECONDS)
    return delay if claim.tried_seconds + ran_seconds + delay <= policy.deadline_seconds else None


def is_ours(kind: Kind, error: PublicError) -> bool:
    """Whether the platform failed, and not the step; a kind may have another opinion."""
    return error.code in OURS and error.code not in kind.retry_by_code


def jittered_seconds(policy: Retry, failures: int) -> float:
    """Exponential backoff with full jitter, see Retry; `failures` counts from 1."""
    ceiling = min(policy.first_seconds * 2.0 ** min(failures - 1, 60), policy.longest_seconds)
    return random.uniform(0.0, ceiling)  # noqa: S311 - spreads load, keeps no secret
