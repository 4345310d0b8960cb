"""Large files through the API: how much memory they take there. Writes 9 GiB below the temporary folder."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx2

from deploy.local.stack import Running
from tests.bench.options import Options
from tests.bench.processes import forget_peak, peak_mib
from tests.bench.rounds import Figures, summary, take_turns
from tests.bench.servers import Servers
from tests.bench.turn import millrace

GIB = 1024**3
CHUNK = bytes(range(256)) * 256  # 64 KiB
BOUNDARY = "between-the-parts"
HEAD = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="job"\r\n\r\n'
    '{"steps": {"say": {"kind": "echo"}}}\r\n'
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="large.bin"\r\n\r\n'
).encode()
TAIL = f"\r\n--{BOUNDARY}--\r\n".encode()


def measure(servers: Servers, options: Options) -> dict[str, Any]:
    """Peak resident size of the API process over idle, in MiB, for 1 GiB alone and for eight of them at once."""
    return summary(take_turns({"millrace": partial(_millrace, servers)}, options.rounds), {})


def _millrace(servers: Servers) -> Figures:
    with millrace(servers) as turn:
        return _of_running(turn.running)


def _of_running(running: Running) -> Figures:
    pid = running.processes["api"]
    _upload(running, GIB // 64)  # everything that is loaded at first use is loaded now
    figures: Figures = {}
    for streams in (1, 8):
        forget_peak(pid)
        idle, began = peak_mib(pid), time.monotonic()
        with ThreadPoolExecutor(streams) as pool:
            list(pool.map(lambda size: _upload(running, size), [GIB] * streams))
        took = time.monotonic() - began
        figures |= {
            f"{streams} x 1 GiB at once: MiB resident before": idle,
            f"{streams} x 1 GiB at once: peak MiB over that": peak_mib(pid) - idle,
            f"{streams} x 1 GiB at once: MiB/s": streams * GIB / took / 1024**2,
        }
    return figures


def _upload(running: Running, size: int) -> None:
    """Send a file along with a job that leaves it alone, so that only the upload is measured."""
    headers = {
        "Authorization": f"Bearer {running.key}",
        "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        "Content-Length": str(len(HEAD) + size + len(TAIL)),
    }
    answer = httpx2.post(f"{running.api}/v1/jobs", content=_body(size), headers=headers, timeout=900)
    assert answer.status_code == 202, answer.text


def _body(size: int) -> Iterator[bytes]:
    yield HEAD
    for _ in range(size // len(CHUNK)):
        yield CHUNK
    yield TAIL
