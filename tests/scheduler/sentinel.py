"""A Valkey with a replica and a sentinel that watches them, from the one binary."""

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from deploy.local import valkey
from deploy.local.ports import claimed
from tests.waiting import until

MASTER = "mymaster"
NAMES = ("first", "second", "sentinel")


@dataclass(frozen=True, kw_only=True, slots=True)
class Watched:
    """`url` leads to whichever is the master; `first` is it in the beginning."""

    url: str
    first: "subprocess.Popen[bytes]"
    ports: dict[str, int]

    def master(self) -> int:
        """The master's port, as the sentinel tells it."""
        with redis.Redis(port=self.ports["sentinel"]) as sentinel:
            found = sentinel.sentinel_get_master_addr_by_name(MASTER)
            return int(found[1]) if found else 0


@contextlib.contextmanager
def watched(home: Path) -> Iterator[Watched]:
    """Run the three while the body runs."""
    with claimed(home / "ports.json", NAMES, ()) as ports, contextlib.ExitStack() as running:
        first = running.enter_context(_server(home, "first", _plain(ports["first"])))
        replica = [*_plain(ports["second"]), f"replicaof 127.0.0.1 {ports['first']}"]
        running.enter_context(_server(home, "second", replica))
        until(lambda: _info(ports["second"]).get("master_link_status") == "up")
        running.enter_context(_server(home, "sentinel", _watching(ports), "--sentinel"))
        until(lambda: int(_sentinel_master(ports["sentinel"]).get("num-slaves", 0)) == 1)
        yield Watched(url=f"sentinel://127.0.0.1:{ports['sentinel']}/0", first=first, ports=dict(ports))


@contextlib.contextmanager
def _server(home: Path, name: str, lines: Sequence[str], *options: str) -> Iterator["subprocess.Popen[bytes]"]:
    folder = home / name
    folder.mkdir()
    file = folder / "valkey.conf"
    file.write_text("\n".join([f"dir {folder}", "bind 127.0.0.1", *lines, ""]))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([str(valkey.binary()), str(file), *options], stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _plain(port: int) -> list[str]:
    return [f"port {port}", 'save ""', "repl-diskless-sync-delay 0"]


def _watching(ports: dict[str, int]) -> list[str]:
    return [
        f"port {ports['sentinel']}",
        f"sentinel monitor {MASTER} 127.0.0.1 {ports['first']} 1",
        f"sentinel down-after-milliseconds {MASTER} 500",
        f"sentinel failover-timeout {MASTER} 5000",
    ]


def _info(port: int) -> dict[str, object]:
    with contextlib.suppress(redis.ConnectionError), redis.Redis(port=port) as client:
        return dict(client.info("replication"))
    return {}


def _sentinel_master(port: int) -> dict[str, Any]:
    with contextlib.suppress(redis.ConnectionError), redis.Redis(port=port) as client:
        return dict(client.sentinel_master(MASTER))
    return {}
