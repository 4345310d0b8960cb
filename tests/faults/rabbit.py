"""RabbitMQ as a private node: Debian's programs, run by us, with a user, ports and folders of its own."""

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection

from deploy.local import private
from deploy.local.part import Layer, Part, Ready

PORTS = ("rabbit", "rabbit-dist", "rabbit-epmd")
USER = "millrace"
HERE = "{127,0,0,1}"


def program() -> Path:
    """Find the start script of the newest version; skips the test where there is none."""
    found = sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server"))
    if not found:
        pytest.skip("RabbitMQ is not installed; on Debian and Ubuntu: apt install rabbitmq-server")
    return found[-1]


def parts(home: Path, ports: Mapping[str, int]) -> tuple[list[Part], str]:
    """Describe the node and the port mapper that Erlang wants, and the URL under which the node answers.

    The mapper is a part of its own: left to Erlang, it would be a daemon that outlives the node.
    """
    data = home / "rabbit"
    data.mkdir(mode=0o700, exist_ok=True)
    password = private.secret(home / "rabbit.password")
    private.write(data / "rabbitmq.conf", _configuration(ports["rabbit"], password))
    (data / "plugins").write_text("[].\n")
    env = _environment(data, ports)
    mapper = _part(home, env, "epmd", ("epmd", "-port", str(ports["rabbit-epmd"])), _listens(ports["rabbit-epmd"]))
    node = _part(home, env, "rabbit", (str(program()),), _answers(ports["rabbit"]), after=("epmd",))
    return [mapper, node], f"amqp://{USER}:{password}@127.0.0.1:{ports['rabbit']}//"


def is_settled(home: Path) -> bool:
    """Whether the node has written down which quorum queues it has: it does so seconds after it made them.

    One that was killed before that (3.10, at least) has them again, yet nothing goes into them or comes out, ever.
    """
    [folder] = (home / "rabbit" / "mnesia").glob("*/quorum/*/")
    written = [(folder / name).read_bytes() for name in ("names.dets", "meta.dets")]
    queues = [path.name.encode() for path in folder.iterdir() if path.is_dir()]
    return all(queue in content for queue in queues for content in written)


def purge(url: str, queues: list[str]) -> None:
    """Empty the queues, as a broker that lost its data would have them."""
    with Connection(url) as connection, connection.channel() as opened:
        channel: Any = opened  # the stated type is that of every transport
        for queue in queues:
            channel.queue_purge(queue)


def waiting(url: str, queue: str) -> int:
    """How many messages wait in the queue, beside those that consumers hold."""
    with Connection(url) as connection, connection.channel() as opened:
        channel: Any = opened
        return int(channel.queue_declare(queue=queue, passive=True).message_count)


def _environment(data: Path, ports: Mapping[str, int]) -> dict[str, str]:
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "HOME": str(data),  # Erlang keeps its cookie there
        "RUNNING_UNDER_SYSTEMD": "1",  # the script becomes the node, so that our signals reach it
        "ERL_EPMD_PORT": str(ports["rabbit-epmd"]),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": f"millrace-{ports['rabbit']}@localhost",
        "RABBITMQ_NODE_PORT": str(ports["rabbit"]),
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_DIST_PORT": str(ports["rabbit-dist"]),
        "RABBITMQ_MNESIA_BASE": str(data / "mnesia"),
        "RABBITMQ_LOG_BASE": str(data / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(data / "plugins"),
        "RABBITMQ_CONFIG_FILE": str(data / "rabbitmq.conf"),
        "RABBITMQ_PID_FILE": str(data / "pid"),
        "RABBITMQ_CONF_ENV_FILE": str(data / "no-environment-file"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"-kernel inet_dist_use_interface {HERE} +S 2:2 +sbwt none",
    }


def _configuration(port: int, password: str) -> str:
    return "\n".join(
        [
            f"listeners.tcp.default = 127.0.0.1:{port}",
            f"default_user = {USER}",
            f"default_pass = {password}",
            "log.console.level = warning",
            "",
        ]
    )


def _part(
    home: Path, env: Mapping[str, str], name: str, argv: tuple[str, ...], ready: Ready, after: tuple[str, ...] = ()
) -> Part:
    return Part(
        name=name,
        layer=Layer.SERVER,
        argv=argv,
        env=env,
        cwd=home,
        log=home / "log" / f"{name}.log",
        ready=ready,
        ready_seconds=90.0,
        grace_seconds=0.0,  # nothing in it is needed again
        after=after,
    )


def _listens(port: int) -> Ready:
    def ready(_log_start: int) -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True

    return ready


def _answers(port: int) -> Ready:
    def ready(_log_start: int) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                return connection.recv(1) == b"\x01"  # a method frame: it opens the conversation
        except OSError:
            return False

    return ready
