"""(f) The whole way, from HTTP to done: submitting and working at once, as fast as both go on the same cores."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import psycopg

from tests.bench.client import Orders, post, send
from tests.bench.options import Options
from tests.bench.processes import family_seconds
from tests.bench.rounds import Figures, cpu_ms, quantiles, summary, take_turns
from tests.bench.servers import Servers, process
from tests.bench.submitting import serving
from tests.bench.turn import BODY, OWN, Turn, millrace
from tests.waiting import until

CLIENTS = 32
USUAL = ("celery", "-A", "tests.bench.rivals.usual:queue", "worker", "-P", "prefork", "-c", "2")

_TIMES = """
SELECT extract(epoch FROM max(finished_at) - min(created_at))::float,
       array_agg(1000 * extract(epoch FROM finished_at - created_at)::float)
FROM jobs WHERE created_at > %(since)s
"""


def measure(servers: Servers, options: Options) -> dict[str, Any]:
    """Jobs per second from the first request to the last job's end, beside the stack as most people write it."""
    rivals = {"as usual": partial(_usual, servers, options)} if options.wants("usual") else {}
    seen = take_turns({"millrace": partial(_millrace, servers, options), **rivals}, options.rounds)
    return summary(seen, {"millrace / as usual": ("jobs/s", "millrace", "as usual")})


def _millrace(servers: Servers, options: Options) -> Figures:
    with millrace(servers) as turn:
        return of_turn(turn, options)


def of_turn(turn: Turn, options: Options) -> Figures:
    """The figures of a platform that runs; all its jobs so far were of this kind of turn and succeeded."""
    url, request = turn.running.api, turn.request()
    [(earlier,)] = turn.rows(f"SELECT count(*) FROM jobs WHERE {OWN}")
    send(Orders(url=url, requests=[request], count=options.warm, clients=CLIENTS))
    turn.ended(earlier + options.warm)
    before, since = turn.cpu(), turn.now()
    seen = send(Orders(url=url, requests=[request], count=options.requests, clients=CLIENTS))
    turn.ended(earlier + options.warm + options.requests)
    used = cpu_ms(before, turn.cpu(), options.requests)
    turn.check(earlier + options.warm + options.requests)
    [(seconds, took)] = turn.rows(_TIMES, since=since)
    return {"jobs/s": options.requests / seconds, "submitted/s": seen.rate, **quantiles(took, "row to done"), **used}


def _usual(servers: Servers, options: Options) -> Figures:
    log = servers.log("usual")
    with servers.database(migrated=False) as database:
        env = servers.rival_env(database)
        with process(("tests.bench.rivals.usual",), env, log, ends=True):
            pass
        with (
            process(USUAL, env, log) as workers,
            serving("usual", env, servers) as (url, api),
            psycopg.connect(database, autocommit=True) as connection,
        ):

            def cpu() -> Mapping[str, float]:
                return {**servers.cpu(), "api": family_seconds(api), "workers": family_seconds(workers)}

            def ended(count: int) -> None:
                asked = "SELECT count(*) FROM usual_jobs WHERE finished_at IS NOT NULL"
                until(lambda: (connection.execute(asked).fetchone() or (0,))[0] >= count, seconds=170)

            request = post("/jobs", BODY)
            send(Orders(url=url, requests=[request], count=options.warm, clients=CLIENTS))
            ended(options.warm)
            before, since = cpu(), connection.execute("SELECT clock_timestamp()").fetchone()
            assert since is not None
            seen = send(Orders(url=url, requests=[request], count=options.requests, clients=CLIENTS))
            ended(options.warm + options.requests)
            used = cpu_ms(before, cpu(), options.requests)
            asked = _TIMES.replace("FROM jobs", "FROM usual_jobs")
            row = connection.execute(asked, {"since": since[0]}).fetchone()  # type: ignore[call-overload,unused-ignore]
            assert row is not None
    return {"jobs/s": options.requests / row[0], "submitted/s": seen.rate, **quantiles(row[1], "row to done"), **used}
