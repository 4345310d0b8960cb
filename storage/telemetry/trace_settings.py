"""Where spans go and which of them, from OpenTelemetry's own environment variables."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from storage.errors import ConfigurationError

SAMPLERS = ("always_on", "always_off", "traceidratio")
COMPRESSIONS = ("none", "gzip", "deflate")


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceSettings:
    """`endpoint` is the whole URL; of `ratio` of the traces that begin here spans are kept.

    `follows_parent`: whoever calls decides, and `ratio` only where nobody does. `timeout_seconds` is of one request.
    """

    endpoint: str
    headers: Mapping[str, str]
    resource: Mapping[str, str]
    compression: str
    timeout_seconds: float
    certificate: str | None
    ratio: float
    follows_parent: bool
    propagates: bool
    gather_seconds: float = 2.0  # how long a span waits for others to be sent with


def from_env(env: Mapping[str, str]) -> TraceSettings | None:
    """Read OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT (none: no spans), _HEADERS, _TIMEOUT (10),
    _COMPRESSION (none), _CERTIFICATE, _PROTOCOL (http/protobuf alone), OTEL_TRACES_SAMPLER (parentbased_always_on),
    OTEL_TRACES_SAMPLER_ARG (1), OTEL_BSP_SCHEDULE_DELAY (2000), OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES,
    OTEL_SDK_DISABLED, OTEL_TRACES_EXPORTER (otlp or none), OTEL_PROPAGATE_OUTBOUND (0).

    Raises ConfigurationError with one line that names the variable.
    """
    endpoint = _endpoint(env)
    if endpoint is None or env.get("OTEL_SDK_DISABLED", "").lower() == "true" or not _is_asked_for(env):
        return None
    protocol = _otlp(env, "PROTOCOL") or "http/protobuf"
    if protocol != "http/protobuf":
        raise ConfigurationError(f"OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf, not {protocol[:40]!r}")
    compression = (_otlp(env, "COMPRESSION") or "none").lower()
    if compression not in COMPRESSIONS:
        raise ConfigurationError(f"OTEL_EXPORTER_OTLP_COMPRESSION must be none, gzip or deflate, not {compression!r}")
    ratio, follows_parent = _sampling(env)
    return TraceSettings(
        endpoint=endpoint,
        headers=_pairs("OTEL_EXPORTER_OTLP_HEADERS", _otlp(env, "HEADERS"), lower=True),
        resource=_resource(env),
        compression=compression,
        timeout_seconds=_timeout(_otlp(env, "TIMEOUT") or "10"),
        certificate=_otlp(env, "CERTIFICATE") or None,
        ratio=ratio,
        follows_parent=follows_parent,
        propagates=_is_on(env, "OTEL_PROPAGATE_OUTBOUND"),
        gather_seconds=_delay(env.get("OTEL_BSP_SCHEDULE_DELAY") or "2000"),
    )


def _otlp(env: Mapping[str, str], name: str) -> str:
    return env.get(f"OTEL_EXPORTER_OTLP_TRACES_{name}") or env.get(f"OTEL_EXPORTER_OTLP_{name}") or ""


def _endpoint(env: Mapping[str, str]) -> str | None:
    """The URL of traces as it is; the one of all signals with /v1/traces behind it, as the specification has it."""
    whole, base = env.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), env.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if not whole and not base:
        return None
    name = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" if whole else "OTEL_EXPORTER_OTLP_ENDPOINT"
    try:
        parts = urlsplit(whole or base or "")
        is_whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # the port
        is_whole = False
    if not is_whole:
        raise ConfigurationError(f"{name} must be a URL such as http://collector:4318")
    return whole or f"{(base or '').rstrip('/')}/v1/traces"


def _is_asked_for(env: Mapping[str, str]) -> bool:
    exporter = env.get("OTEL_TRACES_EXPORTER") or "otlp"
    if exporter not in ("otlp", "none"):
        raise ConfigurationError(f"OTEL_TRACES_EXPORTER must be otlp or none, not {exporter[:40]!r}")
    return exporter == "otlp"


def _sampling(env: Mapping[str, str]) -> tuple[float, bool]:
    sampler = (env.get("OTEL_TRACES_SAMPLER") or "parentbased_always_on").lower()
    own = sampler.removeprefix("parentbased_")
    if own not in SAMPLERS:
        known = ", ".join(SAMPLERS)
        raise ConfigurationError(f"OTEL_TRACES_SAMPLER must be {known}, or one after parentbased_, not {sampler!r}")
    ratio = {"always_on": 1.0, "always_off": 0.0}.get(own)
    return (_ratio(env.get("OTEL_TRACES_SAMPLER_ARG")) if ratio is None else ratio), own != sampler


def _ratio(raw: str | None) -> float:
    ratio = _number(raw or "1")
    if ratio is None or not 0 <= ratio <= 1:
        raise ConfigurationError(f"OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1, not {raw!r}")
    return ratio


def _timeout(raw: str) -> float:
    seconds = _number(raw)
    if seconds is None or not 0 < seconds <= 60:
        raise ConfigurationError(f"OTEL_EXPORTER_OTLP_TIMEOUT must be a number of seconds up to 60, not {raw!r}")
    return seconds


def _delay(raw: str) -> float:
    milliseconds = _number(raw)
    if milliseconds is None or not 1 <= milliseconds <= 60_000:
        raise ConfigurationError(f"OTEL_BSP_SCHEDULE_DELAY must be milliseconds from 1 to 60000, not {raw!r}")
    return milliseconds / 1000


def _number(raw: str) -> float | None:
    try:
        number = float(raw)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _resource(env: Mapping[str, str]) -> Mapping[str, str]:
    found = _pairs("OTEL_RESOURCE_ATTRIBUTES", env.get("OTEL_RESOURCE_ATTRIBUTES") or "")
    name = env.get("OTEL_SERVICE_NAME")
    return {**found, "service.name": name} if name else found


def _pairs(variable: str, raw: str, *, lower: bool = False) -> dict[str, str]:
    """`name=value,name=value`, percent-encoded; a value may be a secret, so none is shown."""
    found: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in raw.split(","))):
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise ConfigurationError(f"{variable} must look like name=value,name=value")
        key = unquote(name.strip())
        found[key.lower() if lower else key] = unquote(value.strip())
    return found


def _is_on(env: Mapping[str, str], name: str) -> bool:
    raw = (env.get(name) or "0").lower()
    if raw not in ("0", "1", "true", "false", "on", "off"):
        raise ConfigurationError(f"{name} must be 1 or 0, not {raw[:40]!r}")
    return raw in ("1", "true", "on")
