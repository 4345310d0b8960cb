"""(e) A mixed load: pictures, calls and echoes at once, each on its own pool of workers."""

import json
import random
import struct
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench.client import Orders, send
from tests.bench.options import Options
from tests.bench.rounds import Figures, cpu_ms, quantiles, summary, take_turns
from tests.bench.servers import Servers
from tests.bench.turn import BODY, Turn, millrace
from tests.sink import sink

CLIENTS = 16
SHARES = {"image": 2, "call": 3, "echo": 5}
"""Of ten jobs."""
PHOTO = Path(__file__).parent.parent.parent / "deploy" / "photos" / "rocket.jpg"
SIZES = {
    "steps": {
        "sizes": {
            "kind": "image.resize",
            "variants": [{"name": str(w), "width": w, "format": "jpeg"} for w in (320, 96)],
        }
    }
}
BOUNDARY = "millrace-bench"

_TIMES = """
SELECT array_agg(id), array_agg(1000 * extract(epoch FROM finished_at - created_at)::float),
       extract(epoch FROM max(finished_at) - min(created_at))::float
FROM jobs WHERE created_at > %(since)s
"""


def measure(servers: Servers, options: Options) -> dict[str, Any]:
    """Jobs per second, and milliseconds from the row of a job to its end by what it does."""
    return summary(take_turns({"millrace": partial(_millrace, servers, options)}, options.rounds), {})


def _millrace(servers: Servers, options: Options) -> Figures:
    count = options.requests
    with sink() as third_party, millrace(servers, {"OUTBOUND_ALLOW": third_party.host}, others=True) as turn:
        kinds = [kind for kind, share in SHARES.items() for _ in range(-(-(options.warm + count) * share // 10))]
        random.Random(10).shuffle(kinds)
        requests = [_request(turn, kind, third_party.url, number) for number, kind in enumerate(kinds)]
        warm, measured = requests[: options.warm], requests[options.warm : options.warm + count]
        send(Orders(url=turn.running.api, requests=warm, count=len(warm), clients=CLIENTS))
        turn.ended(len(warm))
        before, since = turn.cpu(), turn.now()
        seen = send(Orders(url=turn.running.api, requests=measured, count=count, clients=CLIENTS))
        turn.ended(len(warm) + count)
        used = cpu_ms(before, turn.cpu(), count)
        turn.check(len(warm) + count)
        [(ids, times, seconds)] = turn.rows(_TIMES, since=since)
    of_job = {job: kinds[options.warm + which] for job, which in zip(seen.ids, seen.which, strict=True)}
    found = {"jobs/s": count / seconds, "submitted/s": seen.rate}
    for kind in SHARES:
        found |= quantiles(
            [took for job, took in zip(ids, times, strict=True) if of_job[job] == kind], f"{kind} to done"
        )
    return {**found, **used}


def _request(turn: Turn, kind: str, url: str, number: int) -> bytes:
    if kind == "echo":
        return turn.request(BODY)
    if kind == "call":
        return turn.request(json.dumps({"steps": {"call": {"kind": "http.call", "url": url}}}).encode())
    return turn.request(_upload(number), content_type=f"multipart/form-data; boundary={BOUNDARY}")


def _upload(number: int) -> bytes:
    """The photograph with a comment of its own, so that no result is known already."""
    data, comment = PHOTO.read_bytes(), number.to_bytes(16)
    photo = data[:2] + b"\xff\xfe" + struct.pack(">H", 2 + len(comment)) + comment + data[2:]
    parts = (
        ('name="job"', "application/json", json.dumps(SIZES).encode()),
        ('name="file"; filename="photo.jpg"', "image/jpeg", photo),
    )
    written = [
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; {name}\r\nContent-Type: {of}\r\n\r\n".encode() + content
        for name, of, content in parts
    ]
    return b"\r\n".join([*written, f"--{BOUNDARY}--\r\n".encode()])
