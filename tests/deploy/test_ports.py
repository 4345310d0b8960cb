import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deploy.local.ports import GRPC_OFFSET, LIMIT, LOWEST, claimed


def test_ports_are_private_and_below_the_ephemeral_ones(tmp_path: Path) -> None:
    with claimed(tmp_path / "ports.json", ("a", "b", "c")) as ports:
        assert len(set(ports.values())) == 3
        assert all(LOWEST <= port < LIMIT for port in ports.values())


def test_ports_are_remembered(tmp_path: Path) -> None:
    with claimed(tmp_path / "ports.json", ("a", "b")) as first:
        pass
    with claimed(tmp_path / "ports.json", ("a", "b", "c")) as second:
        assert second | first == second


def test_a_port_that_is_listened_on_is_chosen_anew(tmp_path: Path) -> None:
    memory = tmp_path / "ports.json"
    with claimed(memory, ("a", "b")) as first:
        pass
    with socket.create_server(("127.0.0.1", first["a"])), claimed(memory, ("a", "b")) as second:
        assert second["a"] != first["a"]
        assert second["b"] == first["b"]
    assert json.loads(memory.read_text()) == second


def test_a_twin_that_is_listened_on_counts_too(tmp_path: Path) -> None:
    memory = tmp_path / "ports.json"
    with claimed(memory, ("s3",), twins=("s3",)) as first:
        pass
    with socket.create_server(("127.0.0.1", first["s3"] + GRPC_OFFSET)), claimed(memory, ("s3",), ("s3",)) as second:
        assert second["s3"] != first["s3"]


def test_a_server_may_listen_on_a_claimed_port(tmp_path: Path) -> None:
    with claimed(tmp_path / "ports.json", ("a",)) as ports, socket.create_server(("127.0.0.1", ports["a"])):
        pass


def test_a_connection_in_time_wait_does_not_cost_the_port(tmp_path: Path) -> None:
    memory = tmp_path / "ports.json"
    with claimed(memory, ("a",)) as first, socket.create_server(("127.0.0.1", first["a"])) as server:
        client = socket.create_connection(("127.0.0.1", first["a"]))
        accepted, _ = server.accept()
        accepted.close()  # who closes first is left with TIME_WAIT
        assert client.recv(1) == b""
        client.close()
    with claimed(memory, ("a",)) as second:
        assert second == first


def test_launchers_of_the_same_moment_share_no_port(tmp_path: Path) -> None:
    launchers, names = 8, ("a", "b", "c", "d", "e")
    same_port = dict.fromkeys(names, 15000)  # even when all of them remember the same one
    together = threading.Barrier(launchers)

    def launch(number: int) -> list[int]:
        memory = tmp_path / f"{number}.json"
        memory.write_text(json.dumps(same_port))
        together.wait()
        with claimed(memory, names, twins=names) as ports:
            together.wait()
            return [port + offset for port in ports.values() for offset in (0, GRPC_OFFSET)]

    with ThreadPoolExecutor(launchers) as threads:
        chosen = [port for ports in threads.map(launch, range(launchers)) for port in ports]
    assert len(set(chosen)) == launchers * len(names) * 2


def test_a_damaged_memory_is_forgotten(tmp_path: Path) -> None:
    memory = tmp_path / "ports.json"
    for damage in ("", "{", "[1]", '{"a": "80"}', '{"a": 80}'):
        memory.write_text(damage)
        with claimed(memory, ("a",)) as ports:
            assert LOWEST <= ports["a"] < LIMIT
