"""W3C traceparents, and the ids of spans that several processes must know of without telling each other. Pure."""

import hashlib
import re
from dataclasses import dataclass

# https://www.w3.org/TR/trace-context-2/: version 00; of a later one the first four fields are read as those of 00.
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_SAMPLED = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A span as others refer to it; `flags` are those of its traceparent."""

    trace_id: int
    span_id: int
    flags: int

    @property
    def is_sampled(self) -> bool:
        return bool(self.flags & _SAMPLED)


def parse(traceparent: str | None) -> Place | None:
    """Where a traceparent points to; None if it is none."""
    found = _TRACEPARENT.fullmatch(traceparent or "")
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more is not None):
        return None
    place = Place(trace_id=int(trace_id, 16), span_id=int(span_id, 16), flags=int(flags, 16))
    return place if place.trace_id and place.span_id else None


def traceparent(trace_id: int, span_id: int, flags: int) -> str:
    """The traceparent of a span."""
    return f"00-{trace_id:032x}-{span_id:016x}-{flags:02x}"


def trace_id_of(traceparent: str | None) -> str | None:
    """The trace's id in 32 hexadecimal digits, as log lines bear it; None if it is no traceparent."""
    place = parse(traceparent)
    return None if place is None else f"{place.trace_id:032x}"


def is_sampled(traceparent: str | None) -> bool:
    """Whether what happens below this span is to be told."""
    place = parse(traceparent)
    return place is not None and place.is_sampled


def span_id_of(*words: object) -> int:
    """The id of the span that these words name: whoever links to it, or tells of it, comes to the same one."""
    digest = hashlib.sha256("\0".join(map(str, words)).encode()).digest()
    return int.from_bytes(digest[:8], "big") or 1


def in_same_trace(of: str, span_id: int) -> str | None:
    """The traceparent of the span with this id in the trace of another one; None if that is no traceparent."""
    place = parse(of)
    return None if place is None else traceparent(place.trace_id, span_id, place.flags)
