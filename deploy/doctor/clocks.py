"""Whether the clocks of all machines agree: signatures, leases and sign-ins go by them."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import psycopg
import redis
from psycopg.conninfo import make_conninfo

from deploy.doctor.findings import Finding, fail, ok, warn
from storage.broker_ping import AMQP, connected

ABOUT = "clocks"
ANSWER_SECONDS = 2.0
SKEW_SECONDS = 5.0
LARGE_SKEW_SECONDS = 300.0  # S3 refuses signatures that are a quarter of an hour off
AT_ONCE = 16

Skew = tuple[float, float]  # seconds ahead of this machine, and how far off that may be


def check(skews: Mapping[str, Skew]) -> list[Finding]:
    """What is to be said of clocks that are so far ahead of this machine's; those that agree are told of together."""
    found: list[Finding] = []
    agree = []
    for whose, (ahead, unsure) in skews.items():
        off = max(0.0, abs(ahead) - unsure)
        words = f"The clock of {whose} is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} this machine's"
        mend = "Have all machines follow one time: chronyd or systemd-timesyncd."
        if off >= LARGE_SKEW_SECONDS:
            found.append(fail(ABOUT, f"{words}: signatures will be refused.", mend, skew_seconds=round(ahead, 1)))
        elif off >= SKEW_SECONDS:
            found.append(warn(ABOUT, f"{words}.", mend, skew_seconds=round(ahead, 1)))
        else:
            agree.append(whose)
    if agree:
        found.append(ok(ABOUT, f"The clocks of {_listed(agree)} and of this machine agree."))
    return found


def read(
    database_url: str | None, broker: tuple[str, str] | None, endpoint: str | None, workers: Mapping[str, str]
) -> dict[str, Skew]:
    """How far each clock is ahead, of those that answer. `workers`: where each serves its numbers."""
    asked: dict[str, Any] = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        if database_url is not None:
            asked["the database"] = pool.submit(_of_database, database_url)
        if broker is not None:
            asked["the broker"] = pool.submit(_of_broker, *broker)
        if endpoint is not None:
            asked["the object store"] = pool.submit(_of_http, endpoint)
        asked |= {name: pool.submit(_of_http, url) for name, url in workers.items()}
        found = {name: future.result() for name, future in asked.items()}
    return {name: skew for name, skew in found.items() if skew is not None}


def _of_database(url: str) -> Skew | None:
    try:
        with psycopg.connect(make_conninfo(url, connect_timeout=int(ANSWER_SECONDS)), autocommit=True) as connection:
            began = time.time()
            row = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float").fetchone()
            return None if row is None else _skew(began, row[0], 0.0)
    except psycopg.Error:
        return None  # which the check of the database says


def _of_broker(url: str, master: str) -> Skew | None:
    if url.split("://")[0] in AMQP:
        return None
    try:
        with connected(url, seconds=ANSWER_SECONDS, master=master) as client:
            client.ping()  # what follows is one round trip
            began = time.time()
            seconds, micros = client.time()
            return _skew(began, seconds + micros / 1e6, 0.0)
    except (redis.RedisError, OSError, ValueError):
        return None


def _of_http(url: str) -> Skew | None:
    """By the header Date, which has whole seconds, of any answer."""
    try:
        began = time.time()
        date = httpx2.head(url, timeout=ANSWER_SECONDS).headers.get("date")
        return None if date is None else _skew(began, parsedate_to_datetime(date).timestamp() + 0.5, 0.5)
    except (httpx2.HTTPError, ValueError):
        return None


def _skew(began: float, told: float, unsure: float) -> Skew:
    half = (time.time() - began) / 2
    return told - (began + half), half + unsure


def _listed(words: Sequence[str]) -> str:
    if len(words) <= 4:
        return ", ".join(words)
    return f"{', '.join(words[:3])} and {len(words) - 3} others"
