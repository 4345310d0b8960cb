"""`python -m tests.bench.images.platform`: pictures per second through HTTP, with two worker processes, beside the bare
function in two processes on the same cores; and where the rest of the time goes.
"""

import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import httpx2
import psycopg

from deploy.local.settings import from_env
from deploy.local.stack import Running, running_platform
from tests import pools
from tests.bench.images import pictures
from tests.bench.images.__main__ import as_in_the_pool
from tests.bench.processes import cpu_seconds, spent

WIDTHS = {2: (1024, 640, 320), 12: (2048, 1024, 320)}
CLIENTS = 4


@click.command()
@click.option("--count", default=120, show_default=True, help="pictures of each size")
@click.option("--cache", type=click.Path(path_type=Path), default=Path(tempfile.gettempdir()) / "millrace-bench-images")
def bench(count: int, cache: Path) -> None:
    """Print a table for pictures of 2 and of 12 megapixels."""
    found = pictures.corpus(cache, WIDTHS)
    for megapixels in WIDTHS:
        file = found[f"{megapixels} MP baseline"]
        bare = _bare(file, megapixels, cache)
        with tempfile.TemporaryDirectory() as folder:
            rate, used = _through_http(file, megapixels, count, Path(folder))
        print(f"\n{megapixels} MP → {', '.join(map(str, WIDTHS[megapixels]))} jpeg, images/s")
        print(f"  bare function, two processes {bare:.1f}; through HTTP {rate:.1f} ({100 * rate / bare:.0f} %)")
        for name, seconds in sorted(used.items(), key=lambda item: -item[1]):
            print(f"  CPU ms per picture: {name:<20} {1000 * seconds / count:7.1f}")
        sys.stdout.flush()


def _bare(file: Path, megapixels: int, cache: Path) -> float:
    def rate(index: int) -> float:
        folder = cache / f"bare-{index}"
        folder.mkdir(exist_ok=True)
        own = folder / "source.jpg"
        shutil.copyfile(file, own)
        widths = ",".join(map(str, WIDTHS[megapixels]))
        words = ["ours", "jpeg", "-1", "60", widths, str(own), str(folder)]
        command = [sys.executable, "-m", "tests.bench.images.way", *words]
        env = {**os.environ, **as_in_the_pool()}
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=env)
        return 1000 / statistics.fmean(json.loads(done.stdout.splitlines()[-1])["wall"])

    with ThreadPoolExecutor(2) as pool:
        return sum(pool.map(rate, range(2)))


def _through_http(file: Path, megapixels: int, count: int, folder: Path) -> tuple[float, dict[str, float]]:
    env = {**os.environ, "POOLS_DIR": str(pools.fixed(folder / "pools"))}
    with running_platform(folder / "home", settings=from_env(env), say=lambda _: None) as running:
        _sent(running, _distinct(file.read_bytes(), 4), megapixels)
        before, began = cpu_seconds(running), time.monotonic()
        _sent(running, _distinct(file.read_bytes(), count), megapixels)
        took = time.monotonic() - began
        return count / took, spent(before, cpu_seconds(running))


def _sent(running: Running, files: Iterator[bytes], megapixels: int) -> None:
    """Send all and wait until their jobs have ended. Raises RuntimeError if one did not succeed."""
    variants = [{"name": str(width), "width": width, "format": "jpeg"} for width in WIDTHS[megapixels]]
    job = {"steps": {"sizes": {"kind": "image.resize", "variants": variants}}}
    headers = {"Authorization": f"Bearer {running.key}"}
    with (
        httpx2.Client(base_url=running.api, headers=headers, timeout=60) as client,
        ThreadPoolExecutor(CLIENTS) as pool,
    ):

        def send(data: bytes) -> str:
            document = json.dumps(job)
            parts: dict[str, tuple[str | None, bytes | str, str]] = {
                "file": ("photo.jpg", data, "image/jpeg"),
                "job": (None, document, "application/json"),
            }
            return str(client.post("/v1/jobs", files=parts).raise_for_status().json()["id"])

        ids = list(pool.map(send, files))
    with psycopg.connect(running.urls["database"], autocommit=True) as connection:
        while True:
            states = "SELECT state, count(*) FROM jobs WHERE id = ANY(%s) GROUP BY state"
            found: dict[str, int] = dict(connection.execute(states, [ids]).fetchall())
            if found.get("succeeded", 0) == len(ids):
                return
            if found.get("failed"):
                raise RuntimeError(f"jobs ended as {found}")
            time.sleep(0.01)


def _distinct(data: bytes, count: int) -> Iterator[bytes]:
    """The same JPEG with another comment each time, so that no result is known already."""
    for _ in range(count):
        comment = os.urandom(16)
        yield data[:2] + b"\xff\xfe" + struct.pack(">H", 2 + len(comment)) + comment + data[2:]


if __name__ == "__main__":
    bench(prog_name="python -m tests.bench.images.platform")
