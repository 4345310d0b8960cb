import io
import threading
from collections.abc import Iterator, Mapping
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from api.client import ApiError, ConnectionFailed, Millrace, MillraceError, TimedOut, connection
from api.client import millrace as client_module
from api.client.sending import CHUNK
from deploy.local.servers import Urls
from tests.api.sink import ACCEPTED, answer, sink
from tests.api.started import Api, CutWire, api_here

ECHO = {"steps": {"hello": {"kind": "echo", "message": "hi"}}}
LIMIT = 1024 * 1024


@pytest.fixture(scope="module")
def api(servers: Urls, template_database: str, s3_env: Mapping[str, str]) -> Iterator[Api]:
    with api_here(servers, template_database, s3_env, MAX_UPLOAD_BYTES=str(LIMIT)) as started:
        yield started


@pytest.fixture
def millrace(api: Api) -> Iterator[Millrace]:
    with Millrace(api.url, api.key) as made:
        yield made


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "TRY_AGAIN_AFTER", (0.01, 0.01))


class Pipe(io.RawIOBase):
    """Zeros, `size` of them, that cannot be read again."""

    def __init__(self, size: int) -> None:
        self.given = 0
        self._size = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray") -> int:  # type: ignore[override]
        count = min(len(buffer), self._size - self.given)
        buffer[:count] = bytes(count)
        self.given += count
        return count


def zeros(pipe: Pipe) -> BinaryIO:
    return cast(BinaryIO, pipe)  # reads as one; typeshed's classes of files do not meet


def shrink(file: BinaryIO) -> None:
    file.truncate(CHUNK)


def test_a_photo_becomes_a_job_that_knows_its_file(millrace: Millrace, photos: Path) -> None:
    job = millrace.submit(file=photos / "rocket.jpg", template="thumbnails")
    assert job.input is not None
    assert (job.input.filename, job.input.content_type, job.input.bytes) == ("rocket.jpg", "image/jpeg", 112_525)
    assert (job.state, job.ended, list(job.steps)) == ("queued", False, ["thumbs"])
    assert millrace.job(job.id).raw == job.raw
    with pytest.raises(FrozenInstanceError):
        job.state = "succeeded"  # type: ignore[misc]


def test_a_document_needs_no_file(millrace: Millrace) -> None:
    job = millrace.submit(ECHO)
    assert (job.input, job.steps["hello"].kind) == (None, "echo")


def test_an_open_file_is_sent_from_where_it_stands_under_any_name(millrace: Millrace) -> None:
    file = io.BytesIO(b"skipped" + b"taken")
    file.seek(7)
    job = millrace.submit(file=file, template="thumbnails", filename='a "b" 100%41 ü.jpg')
    assert job.input is not None
    assert (job.input.filename, job.input.bytes) == ('a "b" 100%41 ü.jpg', 5)


def test_what_cannot_be_read_again_is_sent_too(millrace: Millrace) -> None:
    job = millrace.submit(file=zeros(Pipe(300_000)), template="thumbnails", filename="zeros.bin")
    assert job.input is not None
    assert job.input.bytes == 300_000


def test_the_same_idempotency_key_is_the_same_job(millrace: Millrace) -> None:
    first = millrace.submit(ECHO, idempotency_key="order-1")
    assert millrace.submit(ECHO, idempotency_key="order-1") == first


def test_a_connection_cut_before_the_answer_costs_a_second_try_and_makes_one_job(api: Api, photos: Path) -> None:
    with CutWire(api.url, [0, None]) as wire, Millrace(wire.url, api.key) as cut:
        with Millrace(api.url, api.key) as whole:
            before = [one.id for one in whole.jobs()]
        job = cut.submit(file=photos / "rocket.jpg", template="thumbnails")
        assert wire.connections == 2
        assert [one.id for one in cut.jobs()] == [job.id, *before]


def test_what_cannot_be_read_again_is_not_sent_twice(api: Api) -> None:
    with CutWire(api.url, [0, None]) as wire, Millrace(wire.url, api.key) as cut:
        with pytest.raises(ConnectionFailed, match="broke"):
            cut.submit(file=zeros(Pipe(1000)), template="thumbnails")
        assert wire.connections == 1


def test_a_busy_server_is_asked_again_with_the_same_key() -> None:
    busy = answer("503 Service Unavailable", b"busy", "Retry-After: 0")
    with sink([busy, ACCEPTED]) as server, Millrace(server.url, "mk_x") as millrace:
        assert millrace.submit(ECHO, idempotency_key="only-one").id == "job_sunk"
    assert [head.count("only-one") for head in server.heads] == [1, 1]


def test_a_server_that_asks_for_too_long_a_pause_is_an_error() -> None:
    busy = answer("503 Service Unavailable", b"busy", "Retry-After: 3600")
    with (
        sink([busy, ACCEPTED]) as server,
        Millrace(server.url, "mk_x") as millrace,
        pytest.raises(ApiError) as caught,
    ):
        millrace.submit(ECHO)
    assert (caught.value.status, caught.value.retry_after, len(server.heads)) == (503, 3600.0, 1)


def test_a_file_that_says_it_is_too_large_is_hardly_sent(millrace: Millrace, tmp_path: Path) -> None:
    large = tmp_path / "large.jpg"
    with large.open("wb") as file:
        file.truncate(256 * LIMIT)
    sent: list[int] = []
    with pytest.raises(ApiError, match="larger than") as caught:
        millrace.submit(file=large, template="thumbnails", on_sent=lambda so_far, _: sent.append(so_far))
    assert (caught.value.status, caught.value.code) == (413, "too_large")
    assert max(sent, default=0) < 64 * LIMIT


def test_a_refusal_that_comes_while_the_file_is_being_sent_is_heard(millrace: Millrace) -> None:
    pipe = Pipe(256 * LIMIT)
    with pytest.raises(ApiError) as caught:
        millrace.submit(file=zeros(pipe), template="thumbnails")
    assert (caught.value.status, caught.value.code) == (413, "too_large")
    assert pipe.given < 64 * LIMIT


def test_a_file_that_shrinks_while_it_is_sent_is_named(tmp_path: Path) -> None:
    path = tmp_path / "shrinking.bin"
    path.write_bytes(bytes(4 * CHUNK))
    with (
        sink() as server,
        Millrace(server.url, "mk_x") as millrace,
        path.open("rb+") as file,
        pytest.raises(MillraceError, match=r"shrinking\.bin became shorter"),
    ):
        millrace.submit(file=file, template="t", on_sent=lambda *_: shrink(file))


def test_flaws_are_pointed_at(millrace: Millrace) -> None:
    with pytest.raises(ApiError) as caught:
        millrace.submit({"steps": {"x": {"kind": "ecko"}}})
    assert caught.value.errors[0][0] == "/steps/x/kind"
    assert "did you mean 'echo'" in str(caught.value)


def test_jobs_are_listed_over_pages_newest_first(api: Api, millrace: Millrace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "PAGE", 2)
    made = [millrace.submit(ECHO).id for _ in range(5)]
    api.succeed(made[1])
    listed = [job.id for job in millrace.jobs(limit=5)]
    assert listed == made[::-1]
    assert [job.id for job in millrace.jobs("succeeded", limit=1)] == [made[1]]
    assert len({job.id for job in millrace.jobs()}) == len(list(millrace.jobs()))


def test_waiting_ends_with_the_job(api: Api, millrace: Millrace) -> None:
    job = millrace.submit(ECHO)
    with pytest.raises(TimedOut, match=r"has not ended within 0\.01 s; it is queued"):
        millrace.wait(job.id, timeout=0.01)
    assert millrace.job(job.id, wait=0.01).state == "queued"
    worker = threading.Thread(target=api.succeed, args=(job.id, {"said": "hi"}))
    worker.start()
    ended = millrace.wait(job.id, timeout=20)
    worker.join()
    assert (ended.state, ended.progress, ended.steps["hello"].result) == ("succeeded", 1.0, {"said": "hi"})


def test_events_go_on_over_cut_connections_without_a_gap(api: Api) -> None:
    with CutWire(api.url, [700, 1500, 0, None]) as wire, Millrace(wire.url, api.key) as cut:
        with Millrace(api.url, api.key) as whole:
            job = whole.submit(ECHO)
        events = cut.events(job.id)
        claim = next(api.work(job.id))
        for tenth in range(20):
            api.report(claim, tenth / 20)
        told = [next(events) for _ in range(15)]
        api.end(claim)
        told += list(events)
        assert wire.connections == 4
    assert [event.seq for event in told] == list(range(1, told[-1].seq + 1))
    assert told[-1].type == "job.succeeded"


def test_events_that_have_all_been_told_are_an_empty_stream(api: Api, millrace: Millrace) -> None:
    job = millrace.submit(ECHO)
    api.succeed(job.id)
    last = list(millrace.events(job.id))[-1]
    assert list(millrace.events(job.id, after=last.seq)) == []
