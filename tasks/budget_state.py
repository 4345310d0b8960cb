"""How a budget of calls decides and learns, step by step: pure functions over its state.

The scripts that keep it in Redis say the same line by line; one suite of tests compares the two.
"""

from dataclasses import dataclass, field

from tasks.budget_rules import (
    ASSUMED_SECONDS,
    DURATION_WEIGHT,
    FAILURE_SECONDS,
    FAILURES,
    GROW_CALLS,
    IDLE_SECONDS,
    OPEN_MOST_SECONDS,
    OPEN_SECONDS,
    PROMISED_SECONDS,
    THROTTLE_DOUBLED_SECONDS,
    THROTTLE_MOST_SECONDS,
    THROTTLE_SECONDS,
    UNKNOWN_CALLS,
    WINDOW_CALLS,
    WINDOW_SECONDS,
    Limits,
    Permit,
    Went,
    Why,
)


@dataclass(kw_only=True, slots=True)
class Scope:
    """Calls that share a limit: a tenant's to one host, a tenant's, or all to one host. Times are the clock's.

    `holders`: until when each token holds; `duration`: of a call, 0 while unknown; `began`: when the first of those
    under way did; `left`: when the latest ended; `promised`: the latest time given to one that waits for a free place;
    `arrival`: GCRA's theoretical arrival time; `turn`: the latest time given to one that waits for the rate.
    """

    holders: dict[str, float] = field(default_factory=dict)
    duration: float = 0.0
    began: float = 0.0
    left: float = 0.0
    promised: float = 0.0
    arrival: float = 0.0
    turn: float = 0.0
    touched: float = 0.0


@dataclass(kw_only=True, slots=True)
class Pair:
    """What is known about one tenant's calls to one host.

    `limit`: after a 429, else 0; `grown`: successes since it grew; `cut`: when it was halved; `open_until`: when a
    probe may go, or went, 0 while all is well; `interval`: seconds between probes; `took`: of the latest failure.
    """

    scope: Scope = field(default_factory=Scope)
    limit: float = 0.0
    grown: float = 0.0
    cut: float = 0.0
    throttled_until: float = 0.0
    throttles: float = 0.0
    failures: float = 0.0
    failed: float = 0.0
    window: float = 0.0
    window_calls: float = 0.0
    window_failures: float = 0.0
    open_until: float = 0.0
    interval: float = 0.0
    took: float = 0.0
    closed: float = 0.0
    is_prober_told: bool = False
    probe: str = ""
    probe_until: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """When something happens, and a number from 0 to 1 by which waiting calls are spread."""

    now: float
    jitter: float


No = tuple[Why, float, float]  # what for, until when, the limit that is reached


def refusal(limits: Limits, at: Moment, pair: Pair, tenant: Scope, host: Scope) -> No | None:
    """Why a call may not go now, if so; the order is that of the script."""
    most = pair.limit or limits.per_host
    gap = (pair.scope.duration or ASSUMED_SECONDS) / most
    if pair.throttled_until > at.now:
        return Why.THROTTLED, _promise(pair.scope, at, pair.throttled_until, gap, PROMISED_SECONDS), most
    if pair.open_until > at.now or (pair.open_until > 0 and pair.probe_until > at.now):
        return Why.DOWN, _after_probe(pair, at, gap), most
    places = (
        (Why.PAIR_BUSY, pair.scope, most),
        (Why.TENANT_BUSY, tenant, limits.per_tenant),
        (Why.HOST_BUSY, host, limits.all_to_host),
    )
    found = [no for why, scope, size in places if (no := _full(why, scope, size, at)) is not None]
    if found:
        return max(found, key=lambda no: no[1])
    rates = ((Why.PAIR_RATE, pair.scope, limits.rate_per_host), (Why.TENANT_RATE, tenant, limits.rate_per_tenant))
    found = [no for why, scope, rate in rates if rate is not None and (no := _over(why, scope, rate, at)) is not None]
    return max(found, key=lambda no: no[1]) if found else None


def _full(why: Why, scope: Scope, most: float, at: Moment) -> No | None:
    """No if all places are taken, with the time at which one is expected to be free for this call."""
    for token in [token for token, until in scope.holders.items() if until <= at.now]:
        del scope.holders[token]
    if len(scope.holders) < most:
        return None
    # The first call is as long as it has taken so far, and as much again: a guess that doubles.
    takes = scope.duration or max(ASSUMED_SECONDS, 2 * (at.now - scope.began))
    base = max(at.now, scope.began + takes) if scope.left <= scope.began else at.now
    ahead = PROMISED_SECONDS if scope.duration else min(PROMISED_SECONDS, UNKNOWN_CALLS * takes)
    # No place became free for much longer than calls take: they hang, and are taken to go on as long again. Otherwise
    # whoever waits for a host that was quick would ask as often as it can.
    quiet = at.now - max(scope.left, scope.began)
    if scope.duration and quiet > 2 * scope.duration:
        base = at.now + min(quiet, PROMISED_SECONDS / 2)
        ahead = PROMISED_SECONDS / 2
    return why, _promise(scope, at, base, takes / most, ahead), most


def _promise(scope: Scope, at: Moment, base: float, gap: float, ahead: float) -> float:
    """The next time at which a place should be free, after `base`: one `gap` after the one before.

    Beyond `ahead` seconds nothing is promised: then it is some time in the second half of these.
    """
    time = max(base, scope.promised) + gap
    if time > base + ahead:
        return base + ahead * (1 + at.jitter) / 2
    scope.promised = time
    return time + at.jitter * gap / 2


def _after_probe(pair: Pair, at: Moment, gap: float) -> float:
    """The first is told when the probe may go; the others, within one interval, when it is expected to have ended."""
    if not pair.is_prober_told and pair.open_until > at.now:
        pair.is_prober_told = True
        return pair.open_until
    probed = at.now - pair.open_until  # for so long, and one that takes longer than expected as long again
    span = min(max(pair.interval, probed), OPEN_MOST_SECONDS)
    latest = at.now + span
    base = min(max(pair.open_until + pair.took, at.now + probed), at.now + span * 0.75)
    time = max(base, pair.scope.promised) + gap
    if time > latest:
        return base + at.jitter * (latest - base)
    pair.scope.promised = time
    return time


def _over(why: Why, scope: Scope, rate: float, at: Moment) -> No | None:
    """No if a call that begins now is more than the rate allows: GCRA, with a burst of one second's worth."""
    gap = 1 / rate
    base = scope.arrival - max(rate - 1, 0) * gap
    if base <= at.now:
        return None
    time = max(base, scope.turn + gap)
    if time > base + PROMISED_SECONDS:
        return why, base + PROMISED_SECONDS * (1 + at.jitter) / 2, rate
    scope.turn = time
    return why, time, rate


def note_time(scope: Scope, went: Went, seconds: float) -> None:
    """Learn how long a call keeps its place; a failure that came fast says nothing about that."""
    known = scope.duration
    if went is Went.WELL or (went is Went.BADLY and seconds > known):
        scope.duration = known + DURATION_WEIGHT * (seconds - known) if known > 0 else seconds


def judge(pair: Pair, token: str, went: Went, seconds: float, now: float) -> None:
    """Let the breaker know how a call went."""
    if pair.open_until > 0:
        if token == pair.probe:
            _end_probe(pair, went, seconds, now)
        return
    if went is Went.NEITHER or now - seconds < pair.closed:  # it began before the host was up again
        return
    if now - pair.window > WINDOW_SECONDS:
        pair.window, pair.window_calls, pair.window_failures = now, 0, 0
    pair.window_calls += 1
    if went is not Went.BADLY:
        pair.failures = 0
        return
    pair.window_failures += 1
    pair.failures = 1 if now - pair.failed > FAILURE_SECONDS else pair.failures + 1
    pair.failed, pair.took = now, seconds
    half = pair.window_calls >= WINDOW_CALLS and pair.window_failures * 2 >= pair.window_calls
    if pair.failures >= FAILURES or half:
        pair.interval = min(max(OPEN_SECONDS, seconds), OPEN_MOST_SECONDS)
        pair.open_until, pair.is_prober_told = now + pair.interval, False


def _end_probe(pair: Pair, went: Went, seconds: float, now: float) -> None:
    pair.probe, pair.probe_until, pair.is_prober_told = "", 0.0, False
    if went is Went.NEITHER:
        pair.open_until = now  # the next one finds out
    elif went is Went.BADLY:
        pair.took = seconds
        pair.interval = min(max(2 * pair.interval, OPEN_SECONDS, seconds), OPEN_MOST_SECONDS)
        pair.open_until = now + pair.interval
    else:
        pair.open_until, pair.interval, pair.closed = 0.0, 0.0, now
        pair.failures, pair.window, pair.window_calls, pair.window_failures = 0, now, 0, 0


def throttle(pair: Pair, most: int, seconds: float, retry_after: float | None, now: float) -> None:
    """Do as a 429 asks: nobody goes for a while, and then half as many; once for all calls that it took by surprise."""
    if now - seconds >= pair.cut:
        pair.throttles += 1
        pair.limit, pair.grown, pair.cut = max(1.0, (pair.limit or most) // 2), 0, now
    wait = retry_after
    if wait is None:
        wait = min(THROTTLE_SECONDS * 2 ** (min(pair.throttles, 10) - 1), THROTTLE_DOUBLED_SECONDS)
    pair.throttled_until = max(pair.throttled_until, now + min(max(wait, 0.0), THROTTLE_MOST_SECONDS))


def grow(pair: Pair, most: int, seconds: float, now: float) -> None:
    """Give back what a 429 took, one place for so many calls that went well since."""
    if pair.limit == 0 or now - seconds < pair.cut:
        return
    pair.throttles = 0
    pair.grown += 1
    if pair.grown >= GROW_CALLS:
        pair.limit, pair.grown = pair.limit + 1, 0
    if pair.limit >= most:
        pair.limit = 0


def take(limits: Limits, permit: Permit, until: float, now: float, pair: Pair, tenant: Scope, host: Scope) -> None:
    """Count a call that goes, and the time at which its permit frees itself."""
    if permit.is_probe:
        pair.probe, pair.probe_until, pair.open_until = permit.token, until, now
    counted = ((pair.scope, pair.limit or limits.per_host), (tenant, limits.per_tenant), (host, limits.all_to_host))
    for scope, most in counted:
        if not scope.holders:
            scope.began = now
            if now - scope.left > IDLE_SECONDS + scope.duration / most:
                scope.promised = min(scope.promised, now)  # those who were told to come do not
        scope.holders[permit.token] = until
    for scope, rate in ((pair.scope, limits.rate_per_host), (tenant, limits.rate_per_tenant)):
        if rate is not None:
            scope.arrival = max(scope.arrival, now) + 1 / rate


def is_used(scope: Scope, old: float) -> bool:
    """Whether anything that happened after `old` stands in it."""
    return max((scope.touched, scope.arrival, *scope.holders.values())) > old
