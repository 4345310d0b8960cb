"""(b) How many jobs one API process accepts a second over HTTP, while nothing works on them."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from tests.bench.client import Orders, Seen, post, send
from tests.bench.options import Options
from tests.bench.processes import family_seconds
from tests.bench.rounds import Figures, cpu_ms, quantiles, summary, take_turns
from tests.bench.servers import Servers, free_port, process
from tests.bench.turn import BODY, millrace

CLIENTS = (1, 16, 64)
UVICORN = ("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--no-server-header", "--log-level", "warning")


def measure(servers: Servers, options: Options) -> dict[str, Any]:
    """Requests per second, ms per request and CPU ms per request with 1, 16 and 64 clients; beside a handler that only
    parses the same body, one that does `apply_async`, and an empty server: the client's own ceiling.
    """
    rivals = {
        "parse only": partial(_handler, servers, options, "/bare"),
        "apply_async": partial(_handler, servers, options, "/apply_async"),
        "ceiling": partial(_ceiling, servers, options),
    }
    chosen = {name: run for name, run in rivals.items() if options.wants(name)}
    seen = take_turns({"millrace": partial(_millrace, servers, options), **chosen}, options.rounds)
    compared = {
        f"millrace / {rival}, {clients} clients": (f"jobs/s {clients} clients", "millrace", rival)
        for rival in ("parse only", "apply_async")
        for clients in CLIENTS
    }
    return summary(seen, compared)


def _millrace(servers: Servers, options: Options) -> Figures:
    with millrace(servers) as turn:
        turn.pause()
        request = turn.request()
        _warm(turn.running.api, request, options)
        before = turn.cpu()
        seen = _loops(turn.running.api, request, options)
        return _figures(seen, cpu_ms(before, turn.cpu(), len(CLIENTS) * options.requests))


def _handler(servers: Servers, options: Options, path: str) -> Figures:
    with servers.database(migrated=False), serving("handlers", servers.rival_env(), servers) as (url, pid):
        request = post(path, BODY)
        _warm(url, request, options)

        def cpu() -> dict[str, float]:
            return {**servers.cpu(), "api": family_seconds(pid)}

        before = cpu()
        seen = _loops(url, request, options)
        return _figures(seen, cpu_ms(before, cpu(), len(CLIENTS) * options.requests))


def _ceiling(servers: Servers, options: Options) -> Figures:
    port = free_port()
    with process(("tests.bench.rivals.empty", str(port)), {}, servers.log("empty"), port=port) as pid:
        before = {"api": family_seconds(pid)}
        seen = _loops(f"http://127.0.0.1:{port}", post("/", BODY), options)
        return _figures(seen, cpu_ms(before, {"api": family_seconds(pid)}, len(CLIENTS) * options.requests))


@contextmanager
def serving(module: str, env: dict[str, str], servers: Servers) -> Iterator[tuple[str, int]]:
    """Serve a rival's `app` by one uvicorn process, with the settings that ours has; its URL and process number."""
    port = free_port()
    argv = ("uvicorn", f"tests.bench.rivals.{module}:app", "--port", str(port), *UVICORN)
    with process(argv, env, servers.log(module), port=port) as pid:
        yield f"http://127.0.0.1:{port}", pid


def _warm(url: str, request: bytes, options: Options) -> None:
    send(Orders(url=url, requests=[request], count=options.warm, clients=16))


def _loops(url: str, request: bytes, options: Options) -> dict[int, Seen]:
    return {
        clients: send(Orders(url=url, requests=[request], count=options.requests, clients=clients))
        for clients in CLIENTS
    }


def _figures(seen: dict[int, Seen], cpu: Figures) -> Figures:
    found = {f"jobs/s {clients} clients": one.rate for clients, one in seen.items()}
    for clients, one in seen.items():
        found |= quantiles([1000 * seconds for seconds in one.took], f"{clients} clients")
    sent = sum(len(one.took) for one in seen.values())
    return {**found, **cpu, "cpu ms client": 1000 * sum(one.cpu_seconds for one in seen.values()) / sent}
