"""A real name server for the outbound guard, which may change its mind."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from dnslib import AAAA, CNAME, QTYPE, RCODE, RR, A  # type: ignore[import-untyped]  # it has no types
from dnslib.server import BaseResolver, DNSLogger, DNSServer  # type: ignore[import-untyped]

Records = Mapping[str, Sequence[Sequence[str]]]


@dataclass(kw_only=True, slots=True)
class Names:
    """A name server: `records` has for each name the answers that it gives one after another, the last again and again.

    An answer is addresses, or "=other.name" for a CNAME. `asked` are the questions: (name, "A" or "AAAA").
    """

    server: str
    records: Records
    asked: list[tuple[str, str]] = field(default_factory=list)


@contextmanager
def names(records: Records) -> Iterator[Names]:
    """Run a name server on a free loopback port."""
    state = Names(server="", records=records)

    class Zone(BaseResolver):  # type: ignore[misc]  # dnslib has no types
        def resolve(self, request: Any, _handler: Any) -> Any:
            name, kind = str(request.q.qname).rstrip("."), QTYPE[request.q.qtype]
            state.asked.append((name, kind))
            reply = request.reply()
            if name not in state.records:
                reply.header.rcode = RCODE.NXDOMAIN
                return reply
            _answer(reply, state, name, kind)
            return reply

    server = DNSServer(Zone(), address="127.0.0.1", port=0, logger=DNSLogger(log="", prefix=False))
    host, port = server.server.server_address[:2]
    state.server = f"{host}:{port}"
    thread = threading.Thread(target=server.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.stop()
        thread.join(10)
        server.server.server_close()


def _answer(reply: Any, state: Names, name: str, kind: str) -> None:
    answers = state.records[name]
    turn = state.asked.count((name, kind))
    for text in answers[min(turn, len(answers)) - 1]:
        if text.startswith("="):
            reply.add_answer(RR(name, QTYPE.CNAME, rdata=CNAME(text[1:]), ttl=0))
            if text[1:] in state.records:
                state.asked.append((text[1:], kind))
                _answer(reply, state, text[1:], kind)
        elif (":" in text) == (kind == "AAAA"):
            rdata = AAAA(text) if kind == "AAAA" else A(text)
            reply.add_answer(RR(name, QTYPE.reverse[kind], rdata=rdata, ttl=0))
