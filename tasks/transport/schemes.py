"""Under which URLs kombu finds the transports."""

from kombu import transport

BATCHING = "tasks.transport.transports:Transport"
BATCHING_SENTINEL = "tasks.transport.transports:SentinelTransport"
OWN = {"redisbatch": BATCHING, "sentinelbatch": BATCHING_SENTINEL}
USUAL = {
    "batching": {"redis": BATCHING, "rediss": BATCHING, "sentinel": BATCHING_SENTINEL},
    "kombu": {
        "redis": "kombu.transport.redis:Transport",
        "rediss": "kombu.transport.redis:Transport",
        "sentinel": "kombu.transport.redis:SentinelTransport",
    },
}


def register() -> None:
    """Have kombu know redisbatch:// and sentinelbatch://, beside its own."""
    _alias(OWN)


def choose(name: str) -> None:
    """Have the usual URLs lead to the transport of this name, one of `USUAL`, in this process. Raises ValueError.

    The URL stays what it is to all that reads it: Flower, the doctor, TLS by rediss://, lists of sentinels.
    """
    if name not in USUAL:
        raise ValueError(f"BROKER_TRANSPORT must be {' or '.join(USUAL)}, not {name!r}")
    _alias(OWN | USUAL[name])


def _alias(names: dict[str, str]) -> None:
    for name, path in names.items():
        transport.TRANSPORT_ALIASES[name] = path
        # kombu remembers what it has once looked up
        transport._transport_cache.pop(name, None)  # type: ignore[attr-defined]
