"""The budget of calls that all worker processes share, in Redis or Valkey."""

import random
from collections.abc import Callable
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from storage.model import TenantId
from tasks import budget_scripts
from tasks.budget_rules import Breaker, BudgetUnreachable, Held, HostStanding, Limits, Permit, Went, Why, held

PREFIX = "millrace:budget:"
ANSWER_SECONDS = 0.5  # a server that says nothing for this long is away
CONNECTIONS = 8  # are enough for all threads of a process: each is in use for a millisecond (measured with 300)


class Shared:
    """A budget in Redis, for all processes that are told the same URL. Every method raises BudgetUnreachable.

    `url` begins with redis://, rediss:// or unix://. `clock` is the server's own where it is not given.
    """

    def __init__(
        self,
        url: str,
        limits: Limits,
        *,
        clock: Callable[[], float] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._jitter = jitter
        pool = redis.ConnectionPool.from_url(
            url,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            decode_responses=True,
            retry=Retry(
                NoBackoff(), 1, supported_errors=(redis.ConnectionError,)
            ),  # one that was cut while it was idle
        )
        self._client = redis.Redis(connection_pool=pool)
        self._enter = self._client.register_script(budget_scripts.ENTER)
        self._leave = self._client.register_script(budget_scripts.LEAVE)
        self._standing = self._client.register_script(budget_scripts.STANDING)

    def enter(self, asked: Permit, hold_seconds: float) -> Permit | Held:
        """See Store."""
        limits = self._limits
        given = (
            *(self._time(), self._jitter(), asked.token, hold_seconds, _member(asked)),
            *(limits.per_host, limits.per_tenant, limits.all_to_host),
            *(limits.rate_per_host or "", limits.rate_per_tenant or ""),
        )
        why, seconds, limit = self._run(self._enter, _keys(asked), given)
        if why:
            return held(Why(why), asked.host, float(seconds), float(limit))
        return Permit(tenant=asked.tenant, host=asked.host, token=asked.token, is_probe=seconds == "1")

    def leave(self, permit: Permit, went: Went, *, seconds: float, retry_after: float | None = None) -> Breaker | None:
        """See Store."""
        after = "" if retry_after is None else retry_after
        given = (self._time(), permit.token, _member(permit), self._limits.per_host, went.value, seconds, after)
        became = self._run(self._leave, _keys(permit), given)
        return Breaker(became) if became else None

    def standing(self, limit: int) -> list[HostStanding]:
        """See Store."""
        rows = self._run(self._standing, (f"{PREFIX}pairs",), (self._time(), limit, f"{PREFIX}pair:"))
        return [self._stands(row) for row in rows]

    def close(self) -> None:
        """Close the connections."""
        self._client.connection_pool.disconnect()

    def _time(self) -> float | str:
        return "" if self._clock is None else repr(self._clock())

    def _run(self, script: Any, keys: tuple[str, ...], given: tuple[object, ...]) -> Any:
        try:
            return script(keys=keys, args=given)
        except (redis.RedisError, OSError) as exc:
            raise BudgetUnreachable(f"{type(exc).__name__}: {exc}") from exc

    def _stands(self, row: list[Any]) -> HostStanding:
        at_most, open_until, probe_until, throttled_until, duration = (float(value) for value in row[:5])
        tenant, _, host = str(row[6]).partition("|")
        now = float(row[7])
        breaker = Breaker.CLOSED
        if open_until > 0:
            breaker = Breaker.PROBING if probe_until > now else Breaker.OPEN
        return HostStanding(
            tenant=TenantId(tenant),
            host=host,
            under_way=int(row[5]),
            at_most=int(at_most or self._limits.per_host),
            breaker=breaker,
            probe_in_seconds=max(open_until - now, 0.0),
            throttled_seconds=max(throttled_until - now, 0.0),
            call_seconds=duration or None,
        )


def _member(permit: Permit) -> str:
    return f"{permit.tenant}|{permit.host}"


def _keys(permit: Permit) -> tuple[str, ...]:
    scopes = (
        f"{PREFIX}pair:{_member(permit)}",
        f"{PREFIX}tenant:{permit.tenant}",
        f"{PREFIX}host:{permit.host}",
    )
    return (*(f"{scope}:under" for scope in scopes), *scopes, f"{PREFIX}pairs")
