"""Sign-ins of people, in Redis or Valkey: a random token stands for an API key for some hours.

What is kept is found by the token's SHA-256: who can read the store can take over no session. All times are the
store's own, so that every process of the API agrees on them.
"""

import hashlib
import secrets
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import RedisError

from storage.errors import SessionsUnavailable
from storage.model import KeyId

PREFIX = "millrace:session:"
ANSWER_SECONDS = 0.5  # a server that says nothing for this long is away
CONNECTIONS = 16
IDLE_SECONDS = 8 * 3600
LIFE_SECONDS = 7 * 86_400
MOST_OF_A_KEY = 50  # sessions at once; one more ends the oldest
ATTEMPTS = 20  # wrong keys from one address
ATTEMPTS_SECONDS = 60

_TOKEN_CHARACTERS = 43  # of 32 random bytes

_BEGIN = """
local time = redis.call('TIME')
local now = tonumber(time[1])
local session, of_key = KEYS[1], KEYS[2]
local idle, life, most = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
redis.call('HSET', session, 'key', ARGV[1], 'csrf', ARGV[2], 'ends', now + life)
redis.call('EXPIRE', session, math.min(idle, life))
redis.call('ZREMRANGEBYSCORE', of_key, '-inf', now)
redis.call('ZADD', of_key, now + life + time[2] / 1000000, session)
redis.call('EXPIRE', of_key, life)
if redis.call('ZCARD', of_key) > most then
  for _, other in ipairs(redis.call('ZRANGE', of_key, 0, -1)) do
    if redis.call('EXISTS', other) == 0 then redis.call('ZREM', of_key, other) end
  end
end
local over = redis.call('ZCARD', of_key) - most
if over > 0 then
  for _, oldest in ipairs(redis.call('ZRANGE', of_key, 0, over - 1)) do redis.call('DEL', oldest) end
  redis.call('ZREMRANGEBYRANK', of_key, 0, over - 1)
end
return now + math.min(idle, life)
"""

_FIND = """
local found = redis.call('HMGET', KEYS[1], 'key', 'csrf', 'ends')
if not found[1] then return false end
local now = tonumber(redis.call('TIME')[1])
local left = math.min(tonumber(ARGV[1]), tonumber(found[3]) - now)
if left <= 0 then redis.call('DEL', KEYS[1]) return false end
redis.call('EXPIRE', KEYS[1], left)
return {found[1], found[2], now + left}
"""

_END_ALL = """
local all = redis.call('ZRANGE', KEYS[1], 0, -1)
local ended = 0
for _, session in ipairs(all) do ended = ended + redis.call('DEL', session) end
redis.call('DEL', KEYS[1])
return ended
"""

_FORGIVE = "if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('DECR', KEYS[1]) end"

_ATTEMPT = """
local made = redis.call('INCR', KEYS[1])
if made == 1 then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
if made <= tonumber(ARGV[1]) then return 0 end
return math.max(redis.call('TTL', KEYS[1]), 1)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """A sign-in with a key. `csrf` has to come with whatever changes something; it ends at `expires_at` if unused."""

    key_id: KeyId
    csrf: str
    expires_at: datetime


class Sessions:
    """The store of them; `url` begins with redis://, rediss:// or unix://.

    Make it in the event loop that uses it. Every method raises SessionsUnavailable.
    """

    def __init__(self, url: str, *, idle_seconds: int = IDLE_SECONDS, life_seconds: int = LIFE_SECONDS) -> None:
        self._idle = idle_seconds
        self._life = life_seconds
        pool = redis.BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=ANSWER_SECONDS,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            decode_responses=True,
            retry=Retry(NoBackoff(), 1, supported_errors=(ConnectionLost,)),  # one that was cut while it was idle
        )
        self._client = redis.Redis.from_pool(pool)
        self._begin, self._find, self._end_all, self._attempt, self._forgive = (
            self._client.register_script(script) for script in (_BEGIN, _FIND, _END_ALL, _ATTEMPT, _FORGIVE)
        )

    async def begin(self, key_id: KeyId) -> tuple[str, Session]:
        """Sign in with the key: the token, which is kept nowhere, and what it stands for."""
        token, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        given = (key_id, csrf, self._idle, self._life, MOST_OF_A_KEY)
        async with _as_ours():
            ends = await self._begin(keys=(_of_token(token), _of_key(key_id)), args=given)
        return token, Session(key_id=key_id, csrf=csrf, expires_at=_time(ends))

    async def find(self, token: str) -> Session | None:
        """What the token stands for, which thereby lives on; None if it is unknown, or has ended."""
        if not is_token(token):
            return None
        async with _as_ours():
            found: Any = await self._find(keys=(_of_token(token),), args=(self._idle,))
        if not found:
            return None
        return Session(key_id=KeyId(found[0]), csrf=found[1], expires_at=_time(found[2]))

    async def those_that_live(self, tokens: Collection[str]) -> set[str]:
        """Those of the tokens that stand for a session still; being asked for does not make them live longer."""
        asked = [token for token in tokens if is_token(token)]
        async with _as_ours(), self._client.pipeline(transaction=False) as pipeline:
            for token in asked:
                pipeline.exists(_of_token(token))
            return {token for token, lives in zip(asked, await pipeline.execute(), strict=True) if lives}

    async def end(self, token: str) -> None:
        """Make the token worthless."""
        if is_token(token):
            async with _as_ours():
                await self._client.delete(_of_token(token))

    async def end_all(self, key_id: KeyId) -> int:
        """End all sessions of the key; returns how many there were."""
        async with _as_ours():
            return int(await self._end_all(keys=(_of_key(key_id),)))

    async def attempt(self, address: str) -> int:
        """Count a try to sign in from the address; returns how many seconds it must wait, 0 if it may go on."""
        async with _as_ours():
            return int(await self._attempt(keys=(_of_address(address),), args=(ATTEMPTS, ATTEMPTS_SECONDS)))

    async def forgive(self, address: str) -> None:
        """Do not count the try: its key was good."""
        async with _as_ours():
            await self._forgive(keys=(_of_address(address),))

    async def close(self) -> None:
        """Close the connections, also to a server that is away."""
        with suppress(RedisError, OSError):
            await self._client.aclose()
            await self._client.connection_pool.disconnect()


def is_token(text: str) -> bool:
    """Whether the text may be a token at all."""
    return len(text) == _TOKEN_CHARACTERS and text.isascii() and text.isprintable()


def _of_token(token: str) -> str:
    return f"{PREFIX}{hashlib.sha256(token.encode()).hexdigest()}"


def _of_address(address: str) -> str:
    return f"{PREFIX}from:{address}"


def _of_key(key_id: KeyId) -> str:
    return f"{PREFIX}of:{key_id}"


def _time(seconds: Any) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)


@asynccontextmanager
async def _as_ours() -> AsyncIterator[None]:
    try:
        yield
    except (RedisError, OSError, TimeoutError) as exc:
        raise SessionsUnavailable(f"{type(exc).__name__}: {exc}") from exc
