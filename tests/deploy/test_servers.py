import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import psutil
import psycopg
import pytest
from botocore.exceptions import ClientError

from deploy.local.errors import PartFailed
from deploy.local.servers import Urls, embedded_servers
from deploy.local.settings import Settings
from tests.deploy.standins import QUICK, Lines, children

ROOT = Path(__file__).parent.parent.parent


def execute(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def valkey(url: str, *commands: str) -> list[str]:
    """Send inline commands after the password; returns the lines of the answers."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=5) as connection:
        connection.sendall("".join(f"{line}\r\n" for line in (f"AUTH {place.password}", *commands, "QUIT")).encode())
        with connection.makefile("r", newline="\r\n") as answers:
            return [line.strip() for line in answers][1:-1]


def s3(env: dict[str, str], **replaced: str):  # type: ignore[no-untyped-def]  # boto3 ships no types
    return boto3.client(
        "s3",
        endpoint_url=env["AWS_ENDPOINT_URL_S3"],
        region_name=env["AWS_REGION"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=replaced.get("secret", env["AWS_SECRET_ACCESS_KEY"]),
    )


def fill(env: dict[str, str]) -> None:
    """Leave a row, a key and an object."""
    execute(env["DATABASE_URL"], "CREATE TABLE kept AS SELECT 'row' AS what")
    assert valkey(env["CELERY_BROKER_URL"], "SET kept key") == ["+OK"]
    with contextlib.closing(s3(env)) as client:
        client.create_bucket(Bucket="millrace")
        client.put_object(Bucket="millrace", Key="kept", Body=b"object" * 100_000)


def assert_filled(env: dict[str, str], *, valkey_too: bool = True) -> None:
    assert execute(env["DATABASE_URL"], "SELECT what FROM kept") == [("row",)]
    if valkey_too:
        assert valkey(env["CELERY_BROKER_URL"], "GET kept") == ["$3", "key"]
    with contextlib.closing(s3(env)) as client, client.get_object(Bucket="millrace", Key="kept")["Body"] as body:
        assert body.read() == b"object" * 100_000


def pids_in(home: Path) -> dict[str, int]:
    notes = json.loads((home / "processes.json").read_text())
    return {name: note["pid"] for name, note in notes.items()}


def test_data_survives_a_stop_a_kill_of_the_launcher_and_new_ports(home: Path) -> None:
    launcher = subprocess.Popen(
        (sys.executable, "-m", "tests.deploy.launcher", str(home), "postgres,valkey,s3"),
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
    )
    with launcher:
        assert launcher.stdout is not None
        first = json.loads(launcher.stdout.readline())
        fill(first)
        launcher.kill()
    orphans = pids_in(home)
    with embedded_servers(home, durable=True) as urls:
        assert set(pids_in(home).values()).isdisjoint(orphans.values())
        assert urls.env == first  # the same ports and secrets
        assert_filled(dict(urls.env))
    (home / "ports.json").unlink()
    with embedded_servers(home, {"postgres", "s3"}) as urls:
        assert urls.env["DATABASE_URL"] != first["DATABASE_URL"]
        assert_filled(first | urls.env, valkey_too=False)
    assert not children()
    assert not [
        path for path in Path("/tmp").glob("seaweedfs-*.sock") if str(urlsplit(urls.s3 or "").port) in path.name
    ]


@pytest.fixture(scope="module")
def running_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("servers") / "home"


@pytest.fixture(scope="module")
def lines() -> Lines:
    return Lines()


@pytest.fixture(scope="module")
def urls(running_home: Path, lines: Lines):  # type: ignore[no-untyped-def]  # a generator; its use is typed
    with embedded_servers(running_home, durable=True, say=lines.say) as found:
        yield found


def test_servers_listen_on_loopback_only(urls: Urls, running_home: Path) -> None:
    for name, pid in pids_in(running_home).items():
        listening = [each.laddr.ip for each in psutil.Process(pid).net_connections() if each.status == "LISTEN"]
        assert set(listening) == {"127.0.0.1"}, name


def test_secrets_are_for_their_owner_only_and_not_in_any_command_line(urls: Urls, running_home: Path) -> None:
    passwords = {str(urlsplit(url).password) for url in (urls.database, urls.broker)} | {
        urls.env["AWS_SECRET_ACCESS_KEY"]
    }
    assert len(passwords) == 3
    for path in running_home.iterdir():
        if path.is_file():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        else:
            assert stat.S_IMODE(path.stat().st_mode) == 0o700, path
    for pid in pids_in(running_home).values():
        command = " ".join(psutil.Process(pid).cmdline())
        assert not [password for password in passwords if password in command]


def test_postgres_wants_the_password(urls: Urls) -> None:
    wrong = str(urls.database).replace(str(urlsplit(urls.database).password), "guess")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        execute(wrong, "SELECT 1")


def test_postgres_is_durable_unless_told_otherwise(urls: Urls) -> None:
    values = execute(str(urls.database), "SELECT current_setting('fsync'), current_setting('synchronous_commit')")
    assert values == [("on", "on")]


def test_valkey_wants_the_password_and_keeps_everything(urls: Urls) -> None:
    place = urlsplit(urls.broker)
    with socket.create_connection(("127.0.0.1", place.port or 0), timeout=5) as connection:
        connection.sendall(b"PING\r\n")
        assert connection.recv(100).startswith(b"-NOAUTH")
    answer = valkey(str(urls.broker), "CONFIG GET maxmemory-policy", "CONFIG GET appendonly")
    assert [line for line in answer if line[0] not in "*$"] == ["maxmemory-policy", "noeviction", "appendonly", "yes"]


def test_s3_wants_the_secret(urls: Urls) -> None:
    with (
        contextlib.closing(s3(dict(urls.env), secret="guess")) as client,
        pytest.raises(ClientError, match="Signature"),
    ):
        client.list_buckets()


@pytest.mark.parametrize("name", ["postgres", "valkey", "s3"])
def test_a_killed_server_comes_back_with_its_data(urls: Urls, running_home: Path, lines: Lines, name: str) -> None:
    env = dict(urls.env)
    with contextlib.suppress(psycopg.errors.DuplicateTable, ClientError):  # filled by the case before
        fill(env)
    os.kill(pids_in(running_home)[name], signal.SIGKILL)
    assert "killed by SIGKILL" in lines.wait_for(f"{name}: died")
    lines.wait_for(f"{name}: ready again", timeout=20)
    assert_filled(env)


def test_a_start_that_was_killed_while_it_made_the_database_is_made_again(home: Path) -> None:
    half = home / "postgres.new-killed"
    (half / "data" / "base").mkdir(parents=True)
    (half / "data" / "PG_VERSION").write_text("18\n")
    with embedded_servers(home, {"postgres"}) as urls:
        assert execute(str(urls.database), "SELECT current_database()") == [("millrace",)]
    assert not half.exists()


def test_a_lock_file_of_postgres_that_names_a_stranger_is_no_obstacle(home: Path) -> None:
    with embedded_servers(home, {"postgres"}):
        lock = (home / "postgres" / "postmaster.pid").read_text()
    stale = [str(os.getpid()), *lock.splitlines()[1:]]
    (home / "postgres" / "postmaster.pid").write_text("\n".join(stale) + "\n")
    with embedded_servers(home, {"postgres"}) as urls:
        assert execute(str(urls.database), "SELECT 1") == [(1,)]


def test_servers_for_tests_trade_safety_for_speed_and_stop_at_once(home: Path) -> None:
    with embedded_servers(home) as urls:
        assert execute(str(urls.database), "SELECT current_setting('fsync')") == [("off",)]
        assert valkey(str(urls.broker), "CONFIG GET appendonly")[-1] == "no"
        began = time.monotonic()
    assert time.monotonic() - began < 3


def test_a_server_that_cannot_start_is_named_with_its_own_words(home: Path) -> None:
    with embedded_servers(home, {"postgres"}):
        pass
    with (home / "postgres" / "postgresql.auto.conf").open("a") as configuration:
        configuration.write("no_such_setting = 1\n")
    with pytest.raises(PartFailed) as failed, embedded_servers(home, {"postgres"}, pace=QUICK):
        pytest.fail("it must not start")
    assert "postgres died 5 times before it was ready" in str(failed.value)
    assert "no_such_setting" in str(failed.value)


def test_another_binary_is_used_when_one_is_named(home: Path, tmp_path: Path) -> None:
    wrapper = tmp_path / "my-valkey"
    wrapper.write_text("#!/bin/sh\necho 'this is not a server' >&2\nexit 7\n")
    wrapper.chmod(0o755)
    with (
        pytest.raises(PartFailed, match="this is not a server"),
        embedded_servers(home, {"valkey"}, settings=Settings(valkey_bin=wrapper), pace=QUICK),
    ):
        pytest.fail("it must not start")
