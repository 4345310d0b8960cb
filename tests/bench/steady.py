"""(d) A steady load: jobs arrive at random over HTTP, whatever the platform does, at 50 % and 90 % of a rate."""

from functools import partial
from typing import Any

from tests.bench import drain
from tests.bench.client import Orders, Seen, send
from tests.bench.options import Options
from tests.bench.rounds import Figures, cpu_ms, quantiles, summary, take_turns
from tests.bench.servers import Servers
from tests.bench.turn import OWN, Turn, millrace

SHARES = (50, 90)
CONNECTIONS = 64

_TIMES = f"""
SELECT j.id, extract(epoch FROM a.started_at)::float, extract(epoch FROM j.finished_at)::float
FROM jobs j JOIN steps s ON s.job_id = j.id JOIN attempts a ON a.step_id = s.id
WHERE j.created_at > %(since)s AND j.{OWN}
"""


def measure(servers: Servers, options: Options) -> dict[str, Any]:
    """Milliseconds from the time at which a job was due to be sent; a queue that grows shows as times that grow.

    The rate is that of a drain, which needs no HTTP: where API and workers share their cores, 90 % of it can be more
    than the whole way carries. `behind s` says by how much the last job ended after the last one was due.
    """
    rate = options.rate or drain.millrace_turn(servers, options)["jobs/s"]
    systems = {f"{share} % of {rate:.0f}/s": partial(_load, servers, options, rate * share / 100) for share in SHARES}
    return summary(take_turns(systems, options.rounds), {})


def _load(servers: Servers, options: Options, rate: float) -> Figures:
    with millrace(servers) as turn:
        url, request = turn.running.api, turn.request()
        send(Orders(url=url, requests=[request], count=options.warm, clients=16))
        turn.ended(options.warm)
        count = max(2, round(rate * options.seconds))
        before, since = turn.cpu(), turn.now()
        seen = send(Orders(url=url, requests=[request], count=count, clients=CONNECTIONS, rate=rate))
        turn.ended(options.warm + count)
        used = cpu_ms(before, turn.cpu(), count)
        turn.check(options.warm + count)
        return {"arrivals/s": count / (max(seen.due) - min(seen.due)), **_times(turn, seen, since), **used}


def _times(turn: Turn, seen: Seen, since: object) -> Figures:
    rows = {row[0]: row[1:] for row in turn.rows(_TIMES, since=since)}
    due = dict(zip(seen.ids, seen.due, strict=True))
    assert rows.keys() == due.keys()
    return {
        "behind s": max(done for _, done in rows.values()) - max(due.values()),
        **quantiles([1000 * seconds for seconds in seen.took], "POST answered"),
        **quantiles([1000 * (running - due[job]) for job, (running, _) in rows.items()], "submit to running"),
        **quantiles([1000 * (done - due[job]) for job, (_, done) in rows.items()], "submit to done"),
    }
