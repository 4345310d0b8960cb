import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.client import ApiError, ConnectionFailed, Millrace, MillraceError, connection
from api.client.access import Access, from_env
from tests.api.sink import ACCEPTED, answer, sink

ROOT = Path(__file__).parent.parent.parent
MIB = 1024 * 1024

# Prints by how many KiB the peak of memory rose while the statement ran.
MEASURE = """
import resource, sys
from pathlib import Path
from api.client import Millrace
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with Millrace(sys.argv[1], "mk_x") as millrace:
    millrace.submit({"small": 1})
    before = peak()
    if sys.argv[2] == "up":
        millrace.submit(template="t", file=Path(sys.argv[3]))
    else:
        millrace.download(sys.argv[2], Path(sys.argv[3]))
    print(peak() - before)
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "TRY_AGAIN_AFTER", (0.01, 0.01))


@pytest.fixture
def sink_process() -> Iterator[str]:
    process = subprocess.Popen([sys.executable, "-m", "tests.api.sink"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.kill()
    process.wait()
    process.stdout.close()


def rise(*arguments: str) -> int:
    """Bytes by which a client's memory rose."""
    ran = subprocess.run(
        [sys.executable, "-c", MEASURE, *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return int(ran.stdout) * (1 if sys.platform == "darwin" else 1024)


def test_memory_does_not_grow_with_the_file_that_is_sent(sink_process: str, tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(1024 * MIB)
    assert rise(sink_process, "up", str(large)) < 32 * MIB


def test_memory_does_not_grow_with_the_file_that_is_brought(sink_process: str, tmp_path: Path) -> None:
    assert rise(sink_process, f"/{256 * MIB}", str(tmp_path / "large.bin")) < 32 * MIB
    assert (tmp_path / "large.bin").stat().st_size == 256 * MIB


def test_a_download_that_breaks_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "photo.webp"
    target.write_bytes(b"before")
    with (
        sink([answer("200 OK", b"half", length=8)]) as server,
        Millrace(server.url, "mk_x") as millrace,
        pytest.raises(ConnectionFailed, match="broke"),
    ):
        millrace.download("/v1/photo", target)
    assert (target.read_bytes(), [path.name for path in tmp_path.iterdir()]) == (b"before", ["photo.webp"])
    assert len(server.heads) == 3


def test_a_download_that_breaks_once_is_brought_whole(tmp_path: Path) -> None:
    answers = [answer("200 OK", b"half", length=8), answer("200 OK", b"complete")]
    with sink(answers) as server, Millrace(server.url, "mk_x") as millrace:
        assert millrace.download("/v1/photo", tmp_path / "photo.webp") == 8
    assert (tmp_path / "photo.webp").read_bytes() == b"complete"


def test_the_key_is_shown_to_the_platform_only(tmp_path: Path) -> None:
    given = [answer("200 OK", b"x")]
    with sink(given) as ours, sink(given) as other, Millrace(ours.url, "mk_secret") as millrace:
        millrace.download(f"{ours.url}/v1/a", tmp_path / "a")
        millrace.download(f"{other.url}/v1/b", tmp_path / "b")
    assert "mk_secret" in ours.heads[0]
    assert "mk_secret" not in other.heads[0]


def test_nobody_there_is_said_with_what_to_do() -> None:
    with sink() as gone:
        url = gone.url
    with Millrace(url, "mk_x") as millrace, pytest.raises(ConnectionFailed) as caught:
        millrace.job("job_x")
    assert str(caught.value) == (
        f"{url} does not answer (Connection refused); is the platform running there? "
        "`make up` starts one on this machine"
    )


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (answer("404 Not Found", b"<html>"), "not as Millrace does"),
        (answer("308 Permanent Redirect", b"", "Location: https://there"), "has moved to https://there"),
        (answer("200 OK", b"<html>"), "does not answer as Millrace does"),
        (answer("200 OK", b'{"id": 1}'), "is not as Millrace writes it"),
    ],
)
def test_what_is_no_millrace_is_said_to_be_none(given: bytes, says: str) -> None:
    with sink([given]) as server, Millrace(server.url, "mk_x") as millrace, pytest.raises(MillraceError, match=says):
        millrace.job("job_x")


def test_an_event_stream_that_is_refused_ends_with_the_refusal() -> None:
    problem = json.dumps({"status": 403, "code": "scope_missing", "detail": "this key lacks jobs:read"}).encode()
    with (
        sink([answer("403 Forbidden", problem)]) as server,
        Millrace(server.url, "mk_x") as millrace,
        pytest.raises(ApiError, match="lacks jobs:read"),
    ):
        next(millrace.events("job_x"))
    assert len(server.heads) == 1


def test_what_is_no_id_is_not_sent() -> None:
    with Millrace("http://127.0.0.1:9", "mk_x") as millrace, pytest.raises(MillraceError, match="not the id of a job"):
        millrace.job("../keys")


def test_documents_of_tomorrow_are_understood() -> None:
    with sink([ACCEPTED]) as server, Millrace(server.url, "mk_x") as millrace:
        assert millrace.job("job_x").raw["a field of tomorrow"] == 1


def test_the_platform_is_named_by_the_environment() -> None:
    environ = {"MILLRACE_URL": "https://there/", "MILLRACE_API_KEY": "mk_env"}
    assert from_env(environ=environ) == Access(url="https://there", key="mk_env")
    assert from_env("http://here", "mk_given", environ=environ) == Access(url="http://here", key="mk_given")


def test_the_platform_that_runs_here_is_found_from_any_folder_below(tmp_path: Path) -> None:
    (tmp_path / ".millrace").mkdir()
    (tmp_path / ".millrace" / "run.json").write_text('{"api": "http://127.0.0.1:1", "key": "mk_run", "more": 1}')
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    here = Access(url="http://127.0.0.1:1", key="mk_run")
    assert from_env(environ={}, folder=below) == here
    assert from_env(environ={"MILLRACE_HOME": str(tmp_path / ".millrace")}, folder=Path("/")) == here
    assert from_env("http://127.0.0.1:1", environ={}, folder=below) == here
    with pytest.raises(MillraceError, match="no API key for http://elsewhere"):
        from_env("http://elsewhere", environ={}, folder=below)


@pytest.mark.parametrize(
    ("url", "key", "says"),
    [
        (None, None, "no platform is named"),
        ("ftp://x", "mk_x", "must begin with http"),
        ("http://x", "mk\n", "characters that no key has"),
    ],
)
def test_what_leads_nowhere_is_said(url: str | None, key: str | None, says: str, tmp_path: Path) -> None:
    with pytest.raises(MillraceError, match=says):
        from_env(url, key, environ={}, folder=tmp_path)


def test_the_client_is_light() -> None:
    heavy = {"pydantic", "fastapi", "sqlalchemy", "storage", "tasks", "celery", "rich", "click"}
    program = "import sys, api.client; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    assert heavy.isdisjoint(ran.stdout.split())
