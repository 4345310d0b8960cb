"""`Idempotency-Key`: however often and however many at once, one key and payload is one job."""

import asyncio
import json
from typing import Any

import httpx2

from tests.api.conftest import Api, Caller
from tests.api.refusing import assert_problem, eventually, leaving_nothing
from tests.api.wire import END, MULTIPART, connected, part, part_head
from tests.documents import ECHO

RESIZE = {"steps": {"thumbs": {"kind": "image.resize", "variants": [{"name": "small", "width": 320}]}}}
JOB = part("job", json.dumps(RESIZE).encode())
FILE = part("file", b"a picture", filename="a.png", content_type="image/png")


def submit(caller: Caller, key: str = "mine", document: Any = ECHO) -> httpx2.Response:
    return caller.post(json=document, headers={"Idempotency-Key": key})


def submit_parts(caller: Caller, *parts: bytes) -> httpx2.Response:
    return caller.post(content=b"".join(parts) + END, headers={"Idempotency-Key": "mine", "Content-Type": MULTIPART})


def test_the_same_request_again_gets_the_same_answer_and_makes_nothing(api: Api) -> None:
    first = submit(api.acme)
    with leaving_nothing(api):
        again = submit(api.acme)
    assert (again.status_code, again.json(), again.headers["location"]) == (
        202,
        first.json(),
        first.headers["location"],
    )


def test_parts_in_another_order_are_the_same_payload(any_api: Api) -> None:
    first = submit_parts(any_api.acme, JOB, FILE)
    assert first.status_code == 202
    with leaving_nothing(any_api):
        again = submit_parts(any_api.acme, FILE, JOB)
        assert (again.status_code, again.json()) == (202, first.json())


def test_another_payload_under_the_same_key_is_refused(any_api: Api) -> None:
    assert submit_parts(any_api.acme, JOB, FILE).status_code == 202
    another_job = part("job", b'{"template": "thumbnails"}')
    another_file = part("file", b"another picture", filename="a.png", content_type="image/png")
    with leaving_nothing(any_api):
        for answer in (
            submit(any_api.acme),
            submit_parts(any_api.acme, JOB, another_file),
            submit_parts(any_api.acme, another_job, FILE),
        ):
            assert_problem(answer.status_code, answer.headers, answer.json(), (422, "idempotency_mismatch"))


def test_another_key_is_another_job(api: Api) -> None:
    assert submit(api.acme, "one").json()["id"] != submit(api.acme, "two").json()["id"]


def test_without_a_key_every_request_is_a_job(api: Api) -> None:
    assert api.acme.post(json=ECHO).json()["id"] != api.acme.post(json=ECHO).json()["id"]


def test_two_tenants_may_use_the_same_key(api: Api) -> None:
    ours, theirs = submit(api.acme), submit(api.other)
    assert (ours.status_code, theirs.status_code) == (202, 202)
    assert ours.json()["id"] != theirs.json()["id"]


def test_a_key_whose_request_is_still_being_sent_is_in_flight(api: Api) -> None:
    before = api.left()
    with connected(api.port) as wire:
        wire.start(api.acme.key, f"Content-Type: {MULTIPART}", "Transfer-Encoding: chunked", "Idempotency-Key: mine")
        wire.chunk(JOB + part_head("file", filename="a.png", content_type="image/png"))
        eventually(lambda: api.left() != before, "the first request holds the key")
        answer = submit_parts(api.acme, JOB, FILE)
        assert_problem(answer.status_code, answer.headers, answer.json(), (409, "idempotency_in_flight"))
        assert int(answer.headers["retry-after"]) > 0
        wire.chunk(b"a picture\r\n" + END)
        wire.chunk(b"")
        first = wire.answer()
    again = submit_parts(api.acme, JOB, FILE)
    assert (first.status, again.status_code, again.json()) == (202, 202, first.json())


def test_a_request_that_failed_frees_its_key_for_any_payload(api: Api) -> None:
    with leaving_nothing(api):
        assert submit(api.acme, document={"steps": {}}).status_code == 422
    assert submit(api.acme).status_code == 202


def test_of_sixteen_equal_requests_at_once_one_makes_the_job(api: Api) -> None:
    async def ask(client: httpx2.AsyncClient) -> httpx2.Response:
        return await client.post("/v1/jobs", json=ECHO)

    async def ask_all() -> list[httpx2.Response]:
        headers = {"Authorization": f"Bearer {api.acme.key}", "Idempotency-Key": "mine"}
        async with httpx2.AsyncClient(base_url=api.url, headers=headers, timeout=30, verify=False) as client:
            return await asyncio.gather(*(ask(client) for _ in range(16)))

    before = api.left()
    answers = asyncio.run(ask_all())
    assert {answer.status_code for answer in answers} <= {202, 409}
    made = {answer.json()["id"] for answer in answers if answer.status_code == 202}
    assert len(made) == 1
    after = api.left()
    assert (after["jobs"], after["idempotency"]) == (before["jobs"] + 1, before["idempotency"] + 1)
    assert submit(api.acme).json()["id"] in made
