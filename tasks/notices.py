"""The job's `notify`: who is told of what happens to it. Pure."""

from typing import Any
from urllib.parse import urlsplit

from storage.model import Notify
from storage.webhook_model import ENDS, OF_JOBS, EventType
from tasks.errors import Flaw
from tasks.flaws import listed, nearest, unknown_fields

MAX_URL = 2048
MAX_HOST = 253  # characters of a name in the DNS (RFC 1035, section 2.3.4, without the last dot)
_FIELDS = ("url", "events")


def notify_of(given: Any, flaws: list[Flaw]) -> Notify | None:
    """The checked `notify` of a job's document; None if there is none, or it has flaws, which are added.

    What the address leads to is seen when something is sent there (tasks.outbound).
    """
    if given is None:
        return None
    if not isinstance(given, dict):
        flaws.append(Flaw(pointer="/notify", detail='must be an object, such as {"url": "https://…"}'))
        return None
    before = len(flaws)
    flaws += unknown_fields("/notify", given, _FIELDS)
    host = _host(given.get("url"), flaws)
    events = _events(given.get("events", [event.value for event in ENDS]), flaws)
    return None if len(flaws) > before else Notify(url=given["url"], host=host, events=events)


def _host(url: Any, flaws: list[Flaw]) -> str:
    """Where the address leads: its lane, so that what is sent to one host waits for no other."""
    try:
        parts = urlsplit(url if isinstance(url, str) and url.isprintable() and " " not in url else "")
        is_whole = parts.scheme in ("http", "https") and parts.username is None and parts.port != 0
        is_host = parts.hostname is not None and parts.hostname.isascii() and len(parts.hostname) <= MAX_HOST
    except ValueError:
        is_whole = is_host = False
    if not is_whole or not is_host or len(url) > MAX_URL:
        detail = f"must be an http or https URL without a user, to a host in ASCII, of at most {MAX_URL} characters"
        flaws.append(Flaw(pointer="/notify/url", detail=detail))
        return ""
    return parts.netloc.lower()


def _events(given: Any, flaws: list[Flaw]) -> tuple[EventType, ...]:
    known = [event.value for event in OF_JOBS]
    if not isinstance(given, list) or not given or len(given) > len(known):
        flaws.append(Flaw(pointer="/notify/events", detail=f"must be a list of some of: {listed(known)}"))
        return ()
    for position, event in enumerate(given):
        if not isinstance(event, str) or event not in known:
            hint = nearest(str(event), known) or f"; there are: {listed(known)}"
            flaws.append(Flaw(pointer=f"/notify/events/{position}", detail=f"there is no such event{hint}"))
        elif event in given[:position]:
            flaws.append(Flaw(pointer=f"/notify/events/{position}", detail=f"{event!r} stands there twice"))
    return tuple(EventType(event) for event in given if event in known)
