"""Large files through the API: how much memory they take there."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2

from deploy.local.stack import Running
from tests.bench.processes import forget_peak, peak_mib

GIB = 1024**3
CHUNK = bytes(range(256)) * 256  # 64 KiB


def measure(running: Running) -> dict[str, float | int]:
    """Peak resident size of the API process over idle, in MiB, for 1 GiB alone and in eight parallel streams."""
    pid = running.processes["api"]
    _upload(running, GIB // 64)  # everything that is loaded at first use is loaded now
    figures: dict[str, float | int] = {}
    for streams in (1, 8):
        forget_peak(pid)
        idle, began = peak_mib(pid), time.monotonic()
        with ThreadPoolExecutor(streams) as pool:
            list(pool.map(lambda size: _upload(running, size), [GIB // streams] * streams))
        took = time.monotonic() - began
        figures |= {
            f"{streams} stream(s), 1 GiB in all: MiB idle": idle,
            f"{streams} stream(s), 1 GiB in all: MiB over idle": peak_mib(pid) - idle,
            f"{streams} stream(s), 1 GiB in all: MiB/s": GIB / took / 1024**2,
        }
    return figures


def _upload(running: Running, size: int) -> None:
    """Send a bare file that no step can read: it is stored, and its job fails for a public reason."""
    headers = {
        "Authorization": f"Bearer {running.key}",
        "Content-Type": "application/octet-stream",
        "Content-Length": str(size),
    }
    url = f"{running.api}/v1/jobs?template=thumbnails"
    answer = httpx2.post(url, content=_chunks(size), headers=headers, timeout=300)
    assert answer.status_code == 202, answer.text


def _chunks(size: int) -> Iterator[bytes]:
    for _ in range(size // len(CHUNK)):
        yield CHUNK
