"""What a budget of calls is made of: limits, permits, the words for a call that waits, and the numbers behind it."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, assert_never

from storage.model import TenantId
from tasks.errors import TasksError

ASSUMED_SECONDS = 1.0  # how long a call takes, until one has ended
DURATION_WEIGHT = 0.2  # of the newest call in the estimate of how long one takes
PROMISED_SECONDS = 60.0  # no call that waits for its turn is sent away for longer
UNKNOWN_CALLS = 4.0  # or, while no call has ended, for longer than so many calls are guessed to take
IDLE_SECONDS = 1.0  # when no call was under way for so long, those who were told a time do not come

FAILURES = 5  # in a row stop the calls, none of them older than
FAILURE_SECONDS = 60.0
WINDOW_CALLS = 20  # or half of at least so many, within
WINDOW_SECONDS = 30.0
OPEN_SECONDS = 5.0  # until a probe may go; doubles with each that fails
OPEN_MOST_SECONDS = 60.0

THROTTLE_SECONDS = 1.0  # after a 429 that says nothing; doubles with each in a row
THROTTLE_DOUBLED_SECONDS = 60.0
THROTTLE_MOST_SECONDS = 300.0  # whatever a host asks for, it is asked again after this
GROW_CALLS = 10  # successes after which a limit that was halved grows by one

KEPT_SECONDS = 600.0  # what is known about a host that nobody calls is forgotten


class BudgetUnreachable(TasksError):
    """The server that keeps the budget does not answer, or not as it should."""


class Went(StrEnum):
    """How a call went, as far as it says something about the host."""

    WELL = "well"  # it was answered, be it with a 4xx
    BADLY = "badly"  # no answer, or a 5xx
    THROTTLED = "throttled"  # 429, or 503 with Retry-After
    NEITHER = "neither"  # canceled, or refused by the guard


class Breaker(StrEnum):
    """Whether calls go to a host."""

    CLOSED = "closed"  # they do
    OPEN = "open"  # none does
    PROBING = "probing"  # one does, to find out


class Why(StrEnum):
    """What a call waits for."""

    PAIR_BUSY = "pair_busy"
    HOST_BUSY = "host_busy"
    TENANT_BUSY = "tenant_busy"
    PAIR_RATE = "pair_rate"
    TENANT_RATE = "tenant_rate"
    DOWN = "down"
    THROTTLED = "throttled"


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How many calls may be under way at the same time, and begin within a second (None: any number).

    `per_host`: of one tenant to one host; `per_tenant`: of one tenant in all; `all_to_host`: of all tenants to one
    host. The rates are per tenant and host, and per tenant. Raises ValueError for a limit under 1 or a rate of 0.
    """

    per_host: int = 20
    per_tenant: int = 100
    all_to_host: int = 200
    rate_per_host: float | None = None
    rate_per_tenant: float | None = None

    def __post_init__(self) -> None:
        if min(self.per_host, self.per_tenant, self.all_to_host) < 1:
            raise ValueError("at least one call must be allowed at a time")
        for rate in (self.rate_per_host, self.rate_per_tenant):
            if rate is not None and not 0 < rate < math.inf:
                raise ValueError("a rate is a number of calls per second above 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class Permit:
    """One call may go; `is_probe`: it alone, to find out whether the host is up again."""

    tenant: TenantId
    host: str
    token: str
    is_probe: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """A call may not go now: ask again in `seconds`. `code` is one of host_busy, tenant_busy, rate_limited, host_down,
    throttled; `reason` is a public sentence.
    """

    seconds: float
    code: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class HostStanding:
    """How one tenant's calls to one host stand; times in seconds from now, 0 where nothing is waited for.

    `at_most`: how many may be under way, now; `call_seconds`: how long a call takes, None while no one knows.
    """

    tenant: TenantId
    host: str
    under_way: int
    at_most: int
    breaker: Breaker
    probe_in_seconds: float
    throttled_seconds: float
    call_seconds: float | None


class Store(Protocol):
    """Where a budget is kept: in this process, or in Redis for all of them."""

    def enter(self, asked: Permit, hold_seconds: float) -> Permit | Held:
        """The permit, perhaps as a probe, or why not; a permit frees itself after `hold_seconds`."""

    def leave(self, permit: Permit, went: Went, *, seconds: float, retry_after: float | None = None) -> Breaker | None:
        """Free the permit and learn from how the call went; nothing where it is not held any more.

        Returns what the breaker has become by it: open, again or for the first time, or closed; None: nothing else.
        """

    def standing(self, limit: int) -> list[HostStanding]:
        """What is known, the latest first."""


def held(why: Why, host: str, seconds: float, limit: float) -> Held:
    """Put into words what a call to this host waits for; `limit` is the one that is reached, if any."""
    code, reason = _words(why, host, limit)
    return Held(seconds=max(seconds, 0.0), code=code, reason=reason)


def _words(why: Why, host: str, limit: float) -> tuple[str, str]:
    match why:
        case Why.PAIR_BUSY:
            return "host_busy", f"{_calls(limit)} to {host} {_are(limit)} under way, as many as may be at the same time"
        case Why.HOST_BUSY:
            return "host_busy", f"as many calls to {host} are under way, of all tenants, as may be at the same time"
        case Why.TENANT_BUSY:
            return "tenant_busy", f"{_calls(limit)} {_are(limit)} under way, as many as a tenant may have at a time"
        case Why.PAIR_RATE:
            return "rate_limited", f"calls to {host} begin at no more than {limit:g} per second"
        case Why.TENANT_RATE:
            return "rate_limited", f"a tenant's calls begin at no more than {limit:g} per second"
        case Why.DOWN:
            return "host_down", f"the latest calls to {host} failed; one at a time goes, to find out if it is up again"
        case Why.THROTTLED:
            return "throttled", f"{host} has asked for fewer calls; none goes until the time that it asked for is over"
        case _:
            assert_never(why)


def _calls(limit: float) -> str:
    return "1 call" if limit == 1 else f"{limit:g} calls"


def _are(limit: float) -> str:
    return "is" if limit == 1 else "are"
