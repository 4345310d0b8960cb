"""Bodies that are not what they should be: refused by the first flaw, whatever was stored by then is taken back."""

import json
from dataclasses import dataclass, field

import pytest

from tests.api.conftest import Api
from tests.api.refusing import assert_problem, leaving_nothing
from tests.api.wire import BOUNDARY, END, MULTIPART, connected, part, part_head

ECHO = json.dumps({"steps": {"say": {"kind": "echo"}}}).encode()
JOB = part("job", ECHO, content_type="application/json")
FILE = part("file", b"not empty", filename="a.txt", content_type="text/plain")
MALFORMED = (400, "multipart_malformed")
INVALID = (422, "invalid_job")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """A body, and how it is refused."""

    body: bytes
    expected: tuple[int, str]
    pointers: list[str] = field(default_factory=list)
    content_type: str = MULTIPART
    query: str = ""


BODIES = {
    "no job": Sent(body=FILE + END, expected=INVALID, pointers=["/job"]),
    "no parts at all": Sent(body=END, expected=INVALID, pointers=["/job"]),
    "a job that needs a file, and no file": Sent(
        body=part("job", b'{"template": "thumbnails"}') + END, expected=INVALID, pointers=["/steps/thumbs"]
    ),
    "empty file": Sent(body=JOB + part("file", b"", filename="a") + END, expected=INVALID, pointers=["/file"]),
    "empty file first": Sent(body=part("file", b"", filename="a") + JOB + END, expected=INVALID, pointers=["/file"]),
    "empty job": Sent(body=FILE + part("job", b"") + END, expected=INVALID, pointers=[""]),
    "flawed job after the file": Sent(
        body=FILE + part("job", b'{"steps": {"say": {"kind": "ecko"}}}') + END,
        expected=INVALID,
        pointers=["/steps/say/kind"],
    ),
    "job twice": Sent(body=JOB + FILE + JOB + END, expected=INVALID, pointers=["/job"]),
    "file twice": Sent(body=JOB + FILE + FILE + END, expected=INVALID, pointers=["/file"]),
    "job and template": Sent(body=JOB + FILE + END, expected=INVALID, pointers=["/job"], query="?template=thumbnails"),
    "unknown part": Sent(body=JOB + FILE + part("flie", b"x") + END, expected=INVALID, pointers=["/flie"]),
    "nine parts": Sent(
        body=JOB + FILE + b"".join(part(f"p{n}", b"x") for n in range(7)) + END, expected=INVALID, pointers=["/p0"]
    ),
    "part without a name": Sent(
        body=JOB + f"--{BOUNDARY}\r\nContent-Disposition: form-data\r\n\r\nx\r\n".encode() + END,
        expected=INVALID,
        pointers=["/"],
    ),
    "part without headers": Sent(body=JOB + f"--{BOUNDARY}\r\n\r\nx\r\n".encode() + END, expected=MALFORMED),
    "part with an endless header": Sent(
        body=JOB + f"--{BOUNDARY}\r\nX-Long: {'x' * 100_000}\r\n\r\nx\r\n".encode() + END, expected=MALFORMED
    ),
    "part's name is not UTF-8": Sent(
        body=f"--{BOUNDARY}\r\nContent-Disposition: form-data; name=".encode() + b'"\xff"\r\n\r\nx\r\n' + END,
        expected=MALFORMED,
    ),
    "file's name is not UTF-8": Sent(
        body=JOB + part("file", b"x", filename="@").replace(b"@", b"\xff\xfe") + END, expected=MALFORMED
    ),
    "cut off in the file": Sent(body=JOB + part_head("file", filename="a") + b"half", expected=MALFORMED),
    "cut off in a header": Sent(body=JOB + part_head("file", filename="a")[:-10], expected=MALFORMED),
    "cut off between parts": Sent(body=JOB + FILE, expected=MALFORMED),
    "cut off before the last two dashes": Sent(body=JOB + FILE + END[:-4], expected=MALFORMED),
    "100 KB before the first part": Sent(body=b"x" * 100_000 + b"\r\n" + JOB + FILE + END, expected=MALFORMED),
    "100 KB after the last part": Sent(body=JOB + FILE + END + b"x" * 100_000, expected=MALFORMED),
    "another boundary": Sent(
        body=JOB + FILE + END, expected=MALFORMED, content_type="multipart/form-data; boundary=another"
    ),
    "no boundary": Sent(body=JOB + FILE + END, expected=MALFORMED, content_type="multipart/form-data"),
    "empty boundary": Sent(body=JOB + FILE + END, expected=MALFORMED, content_type='multipart/form-data; boundary=""'),
    "boundary of 2,000 characters": Sent(
        body=JOB + FILE + END, expected=MALFORMED, content_type=f"multipart/form-data; boundary={'b' * 2000}"
    ),
    "empty multipart": Sent(body=b"", expected=MALFORMED),
    "no content type": Sent(body=b"bytes", expected=(415, "content_type_unsupported"), content_type=""),
    "wrong content type": Sent(body=ECHO, expected=(415, "content_type_unsupported"), content_type="text/yaml"),
    "a form": Sent(
        body=b"job={}", expected=(415, "content_type_unsupported"), content_type="application/x-www-form-urlencoded"
    ),
    "bare file, empty": Sent(
        body=b"", expected=INVALID, pointers=["/file"], content_type="image/png", query="?template=thumbnails"
    ),
    "bare file, unknown template": Sent(
        body=b"x", expected=INVALID, pointers=["/template"], content_type="image/png", query="?template=thumbnail"
    ),
    "bare file, template upwards": Sent(
        body=b"x", expected=INVALID, pointers=["/template"], content_type="image/png", query="?template=..%2F..%00"
    ),
}


@pytest.mark.parametrize("what", BODIES)
def test_a_flawed_body_is_refused(api: Api, what: str) -> None:
    sent = BODIES[what]
    headers = [f"Content-Type: {sent.content_type}"] if sent.content_type else []
    with leaving_nothing(api), connected(api.port) as wire:
        length = f"Content-Length: {len(sent.body)}"
        wire.start(api.acme.key, *headers, length, "Idempotency-Key: k", line=f"POST /v1/jobs{sent.query} HTTP/1.1")
        wire.send(sent.body)
        answer = wire.answer()
        assert_problem(answer.status, answer.headers, answer.json(), sent.expected, sent.pointers)


def test_a_refused_job_can_be_sent_again_with_the_same_key(any_api: Api) -> None:
    headers = {"Content-Type": MULTIPART, "Idempotency-Key": "again"}
    before = any_api.left()
    refused = any_api.acme.post(content=FILE + part("job", b"{}") + END, headers=headers)
    assert (refused.status_code, any_api.left()) == (422, before)
    assert any_api.acme.post(content=FILE + JOB + END, headers=headers).status_code == 202
