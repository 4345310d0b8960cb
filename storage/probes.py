"""Asks the servers whether they answer, and how fast: each question has its end."""

import time

from storage.broker_ping import ping
from storage.database import Database
from storage.diagnosis_model import Part, Probe
from storage.errors import ObjectStoreUnavailable, StorageError
from storage.objects import Objects

GOOD_SECONDS = 0.2  # a round trip that takes longer is made again, so that a hiccup is not taken for slowness
TRIES = 3
PING_SECONDS = 2.0


def database(of: Database) -> Probe:
    """The shortest of up to TRIES round trips through the pool, as every request makes them. Blocking."""
    shortest = float("inf")
    for _ in range(TRIES):
        began = time.monotonic()
        try:
            of.check()
        except StorageError as exc:
            return Probe(part=Part.DATABASE, seconds=time.monotonic() - began, reason=_line(exc))
        shortest = min(shortest, time.monotonic() - began)
        if shortest < GOOD_SECONDS:
            break
    return Probe(part=Part.DATABASE, seconds=shortest)


def broker(url: str, *, master: str = "mymaster") -> Probe:
    """Whether the broker takes messages. Blocking."""
    began = time.monotonic()
    reason = ping(url, seconds=PING_SECONDS, master=master)
    return Probe(part=Part.BROKER, seconds=time.monotonic() - began, reason=reason)


async def objects(of: Objects) -> Probe:
    """Whether the bucket answers."""
    began = time.monotonic()
    try:
        await of.check()
    except ObjectStoreUnavailable as exc:
        return Probe(part=Part.OBJECTS, seconds=time.monotonic() - began, reason=_line(exc))
    return Probe(part=Part.OBJECTS, seconds=time.monotonic() - began)


def late(part: Part, seconds: float) -> Probe:
    """The probe of a server that has not answered within its time."""
    return Probe(part=part, seconds=seconds, reason=f"it has not answered within {seconds:g} s")


def _line(exc: Exception) -> str:
    lines = str(exc).strip().splitlines()
    return lines[0][:200] if lines else type(exc).__name__
