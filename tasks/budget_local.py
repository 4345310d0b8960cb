"""The budget of calls of one process, in memory: for when Redis is away, and the twin of the scripts that run there."""

import dataclasses
import random
import threading
import time
from collections.abc import Callable

from storage.model import TenantId
from tasks.budget_rules import KEPT_SECONDS, Breaker, Held, HostStanding, Limits, Permit, Went, held
from tasks.budget_state import Moment, Pair, Scope, grow, is_used, judge, note_time, refusal, take, throttle


class Local:
    """A budget in this process's memory, for all of its threads."""

    def __init__(
        self,
        limits: Limits,
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._jitter = jitter
        self._lock = threading.Lock()
        self._pairs: dict[tuple[TenantId, str], Pair] = {}
        self._tenants: dict[TenantId, Scope] = {}
        self._hosts: dict[str, Scope] = {}
        self._swept = clock()

    def enter(self, asked: Permit, hold_seconds: float) -> Permit | Held:
        """See Store."""
        with self._lock:
            moment = Moment(now=self._clock(), jitter=self._jitter())
            pair, tenant, host = self._of(asked, moment.now)
            no = refusal(self._limits, moment, pair, tenant, host)
            if no is not None:
                why, until, limit = no
                return held(why, asked.host, until - moment.now, limit)
            permit = dataclasses.replace(asked, is_probe=pair.open_until > 0)
            self._take(permit, hold_seconds, moment.now)
            return permit

    def note(self, permit: Permit, hold_seconds: float) -> None:
        """Count a permit that another store gave to this process."""
        with self._lock:
            self._take(permit, hold_seconds, self._clock())

    def leave(self, permit: Permit, went: Went, *, seconds: float, retry_after: float | None = None) -> Breaker | None:
        """See Store."""
        with self._lock:
            now = self._clock()
            pair, tenant, host = self._of(permit, now)
            if pair.scope.holders.pop(permit.token, None) is None:
                return None
            tenant.holders.pop(permit.token, None)
            host.holders.pop(permit.token, None)
            for scope in (pair.scope, tenant, host):
                scope.left = now
                note_time(scope, went, seconds)
            was = pair.open_until
            judge(pair, permit.token, went, seconds, now)
            if went is Went.THROTTLED:
                throttle(pair, self._limits.per_host, seconds, retry_after, now)
            elif went is Went.WELL:
                grow(pair, self._limits.per_host, seconds, now)
            if pair.open_until == was:
                return None
            return Breaker.OPEN if pair.open_until > 0 else Breaker.CLOSED

    def under_way(self) -> list[Permit]:
        """The permits that are held."""
        with self._lock:
            now = self._clock()
            return [
                Permit(tenant=tenant, host=host, token=token)
                for (tenant, host), pair in self._pairs.items()
                for token, until in pair.scope.holders.items()
                if until > now
            ]

    def standing(self, limit: int) -> list[HostStanding]:
        """See Store."""
        with self._lock:
            now = self._clock()
            latest = sorted(self._pairs.items(), key=lambda item: (-item[1].scope.touched, item[0]))
            return [self._stands(tenant, host, pair, now) for (tenant, host), pair in latest[:limit]]

    def _stands(self, tenant: TenantId, host: str, pair: Pair, now: float) -> HostStanding:
        breaker = Breaker.CLOSED
        if pair.open_until > 0:
            breaker = Breaker.PROBING if pair.probe_until > now else Breaker.OPEN
        return HostStanding(
            tenant=tenant,
            host=host,
            under_way=sum(until > now for until in pair.scope.holders.values()),
            at_most=int(pair.limit or self._limits.per_host),
            breaker=breaker,
            probe_in_seconds=max(pair.open_until - now, 0.0),
            throttled_seconds=max(pair.throttled_until - now, 0.0),
            call_seconds=pair.scope.duration or None,
        )

    def _of(self, permit: Permit, now: float) -> tuple[Pair, Scope, Scope]:
        self._sweep(now)
        pair = self._pairs.setdefault((permit.tenant, permit.host), Pair())
        tenant = self._tenants.setdefault(permit.tenant, Scope())
        host = self._hosts.setdefault(permit.host, Scope())
        for scope in (pair.scope, tenant, host):
            scope.touched = now
        return pair, tenant, host

    def _take(self, permit: Permit, hold_seconds: float, now: float) -> None:
        take(self._limits, permit, now + hold_seconds, now, *self._of(permit, now))

    def _sweep(self, now: float) -> None:
        if now - self._swept < KEPT_SECONDS / 10:
            return
        self._swept = now
        old = now - KEPT_SECONDS
        self._pairs = {key: pair for key, pair in self._pairs.items() if is_used(pair.scope, old)}
        self._tenants = {key: scope for key, scope in self._tenants.items() if is_used(scope, old)}
        self._hosts = {key: scope for key, scope in self._hosts.items() if is_used(scope, old)}
