"""What is too large, stalls or goes away in the middle is answered at once, if anybody listens, and leaves nothing."""

import json
from collections.abc import Callable

import pytest

from storage.database import Database
from tests.api.conftest import Api, seen
from tests.api.refusing import assert_problem, eventually, leaving_nothing
from tests.api.serving import MAX_UPLOAD_BYTES, served, settings
from tests.api.wire import END, MULTIPART, Wire, connected, part, part_head

JOB = part("job", json.dumps({"steps": {"say": {"kind": "echo"}}}).encode())
HEAD = part_head("file", filename="a.bin", content_type="application/x-thing")
MEGABYTE = b"m" * 1024**2
CHUNKED = ("Transfer-Encoding: chunked", f"Content-Type: {MULTIPART}")
BARE = "POST /v1/jobs?template=thumbnails HTTP/1.1"


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(api: Api) -> None:
    with leaving_nothing(api), connected(api.port) as wire:
        wire.start(api.acme.key, f"Content-Type: {MULTIPART}", f"Content-Length: {MAX_UPLOAD_BYTES * 10}")
        assert_problem_on(wire, 413, "too_large")


def test_a_file_is_refused_in_the_moment_it_passes_the_limit_while_its_sender_still_sends(any_api: Api) -> None:
    with leaving_nothing(any_api), connected(any_api.port) as wire:
        wire.start(any_api.acme.key, *CHUNKED, "Idempotency-Key: k")
        wire.chunk(JOB + HEAD)
        for _ in range(MAX_UPLOAD_BYTES // len(MEGABYTE)):
            wire.chunk(MEGABYTE)
        wire.chunk(b"1")
        assert_problem_on(wire, 413, "too_large")  # and no end of the body was ever sent


def test_a_sender_that_does_not_stop_can_still_read_why_it_was_refused(api: Api) -> None:
    with connected(api.port) as wire:
        wire.start(api.acme.key, *CHUNKED)
        wire.chunk(JOB + HEAD)
        for _ in range(3 * MAX_UPLOAD_BYTES // len(MEGABYTE)):
            wire.chunk(MEGABYTE)
        wire.chunk(b"")
        assert_problem_on(wire, 413, "too_large")
        assert wire.is_closed()


def test_a_job_document_that_is_too_large_is_refused(api: Api) -> None:
    document = b'{"metadata": "' + MEGABYTE + b'"}'
    with leaving_nothing(api):
        alone = api.acme.post(content=document, headers={"Content-Type": "application/json"})
        assert_problem(alone.status_code, alone.headers, alone.json(), (413, "too_large"))
        with_file = api.acme.post(
            content=part("job", document) + HEAD + b"x\r\n" + END, headers={"Content-Type": MULTIPART}
        )
        assert_problem(with_file.status_code, with_file.headers, with_file.json(), (413, "too_large"))


def test_the_largest_file_is_taken_and_one_byte_more_is_not(api: Api) -> None:
    largest = bytes(MAX_UPLOAD_BYTES)
    assert api.acme.post(params={"template": "thumbnails"}, content=largest).status_code == 202
    with leaving_nothing(api):
        answer = api.acme.post(params={"template": "thumbnails"}, content=largest + b"1")
        assert_problem(answer.status_code, answer.headers, answer.json(), (413, "too_large"))


def test_a_body_that_stalls_is_refused_and_forgotten(database: Database, database_url: str) -> None:
    impatient = served(settings(database_url, body_idle_seconds=0.1))
    with impatient as running, seen(running, database) as api, leaving_nothing(api), connected(api.port) as wire:
        wire.start(api.acme.key, *CHUNKED, "Idempotency-Key: k")
        wire.chunk(JOB + HEAD + b"the first bytes")
        assert_problem_on(wire, 408, "body_stalled")


def test_a_client_that_asks_first_is_told_to_go_on_or_not(api: Api) -> None:
    expecting = (f"Content-Type: {MULTIPART}", "Expect: 100-continue")
    body = JOB + HEAD + b"bytes\r\n" + END
    with connected(api.port) as wire:
        wire.start(api.acme.key, *expecting, f"Content-Length: {len(body)}")
        assert b"100 Continue" in wire.until(b"\r\n\r\n")
        wire.send(body)
        assert wire.answer().status == 202
    with connected(api.port) as wire:
        wire.start("mk_wrong", *expecting, f"Content-Length: {len(body)}")
        assert_problem_on(wire, 401, "key_invalid")


STAGES: dict[str, Callable[[Wire], None]] = {
    "before the body": lambda _: None,
    "in the job": lambda wire: wire.chunk(JOB[:-5]),
    "between the parts": lambda wire: wire.chunk(JOB),
    "in the file's first bytes": lambda wire: wire.chunk(JOB + HEAD + b"first"),
    "after 9 MiB of the file": lambda wire: wire.chunk(JOB + HEAD + MEGABYTE * 9),
    "between the file and the job": lambda wire: wire.chunk(HEAD + b"whole\r\n" + JOB[:10]),
    "after 9 MiB of file and before the job": lambda wire: wire.chunk(HEAD + MEGABYTE * 9 + b"\r\n" + JOB[:10]),
    "before the last boundary": lambda wire: wire.chunk(JOB + HEAD + b"whole\r\n" + END[:-4]),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_client_that_goes_away_leaves_nothing_and_its_key_is_free(any_api: Api, stage: str) -> None:
    before = any_api.left()
    with connected(any_api.port) as wire:
        wire.start(any_api.acme.key, *CHUNKED, "Idempotency-Key: mine")
        STAGES[stage](wire)
        eventually(lambda: any_api.left() != before, "the request has begun")
        if "9 MiB" in stage and any_api.served.service.settings.objects.bucket:
            eventually(lambda: any_api.left()["objects"] != before["objects"], "the upload to S3 has begun")
    eventually(lambda: any_api.left() == before, "nothing is left")
    again = any_api.acme.post(json={"steps": {"say": {"kind": "echo"}}}, headers={"Idempotency-Key": "mine"})
    assert again.status_code == 202


def test_requests_that_are_cut_off_by_a_stop_are_undone_before_the_process_ends(
    database: Database, database_url: str
) -> None:
    with served(settings(database_url), timeout_graceful_shutdown=0.2) as running, seen(running, database) as api:
        before = api.left()
        with connected(api.port) as wire:
            wire.start(api.acme.key, *CHUNKED, "Idempotency-Key: mine")
            wire.chunk(JOB + HEAD + b"first")
            eventually(lambda: api.left() != before, "the request has begun")
            running.stop()
            assert api.left() == before


def assert_problem_on(wire: Wire, status: int, code: str) -> None:
    answer = wire.answer()
    assert_problem(answer.status, answer.headers, answer.json(), (status, code))
    assert answer.headers["connection"] == "close"
