"""The three forms of a submission, what the file is called, and that its bytes arrive as they were sent."""

import asyncio
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import httpx2
import pytest

from storage.keys import input_key
from storage.model import JobId, TenantId
from storage.objects import Stored
from storage.objects.settings import ObjectSettings
from storage.objects.stores import open_objects
from tests.api.conftest import Api
from tests.api.wire import BOUNDARY, END, MULTIPART, connected, part, part_head

RESIZE = {"steps": {"thumbs": {"kind": "image.resize", "variants": [{"name": "small", "width": 320}]}}}
JOB = part("job", json.dumps(RESIZE).encode(), content_type="application/json")
PNG = {"filename": "a.png", "content_type": "image/png"}


def accepted(answer: httpx2.Response) -> Any:
    assert answer.status_code == 202, answer.text
    document = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{document['id']}"
    return document


def stored(api: Api, tenant: TenantId, job: str) -> tuple[Stored, bytes]:
    """The job's file as the store has it; asked by a client of the test's own, in a loop of its own."""
    key = input_key(tenant, JobId(job))

    async def read(objects: Any) -> tuple[Stored, bytes]:
        opened = await objects.open(key)
        return opened.stored, b"".join([chunk async for chunk in opened.chunks])

    settings: ObjectSettings = api.served.service.settings.objects
    return asyncio.run(read(open_objects(settings) if settings.bucket else api.served.service.objects))


FORMS = ["job first", "file first", "bare", "multipart with template"]


def post_file(api: Api, form: str, content: bytes) -> httpx2.Response:
    headers = {"Content-Type": MULTIPART}
    file = part("file", content, **PNG)
    match form:
        case "job first":
            return api.acme.post(content=JOB + file + END, headers=headers)
        case "file first":
            return api.acme.post(content=file + JOB + END, headers=headers)
        case "multipart with template":
            return api.acme.post(content=file + END, headers=headers, params={"template": "thumbnails"})
        case _:
            bare = {"Content-Type": "image/png"}
            return api.acme.post(content=content, headers=bare, params={"template": "thumbnails"})


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [1, 100_000, 9_000_001])
def test_the_bytes_of_a_file_arrive_as_they_were_sent(any_api: Api, form: str, size: int) -> None:
    content = os.urandom(size)
    document = accepted(post_file(any_api, form, content))
    assert document["input"] == {
        "filename": "upload" if form == "bare" else "a.png",
        "content_type": "image/png",
        "bytes": size,
    }
    assert (document["state"], [step["state"] for step in document["steps"].values()]) == ("queued", ["queued"])
    found, received = stored(any_api, any_api.acme.tenant, document["id"])
    assert (found.size, found.content_type) == (size, "image/png")
    assert hashlib.sha256(received).digest() == hashlib.sha256(content).digest()


def test_a_photograph_sent_by_an_ordinary_client_is_accepted(any_api: Api, photos: Path) -> None:
    photo = next(path for path in sorted(photos.iterdir()) if path.suffix in {".jpg", ".jpeg"})
    with photo.open("rb") as opened:
        files = {"job": (None, json.dumps(RESIZE), "application/json"), "file": (photo.name, opened, "image/jpeg")}
        document = accepted(any_api.acme.post(files=files))
    assert document["input"]["filename"] == photo.name
    assert stored(any_api, any_api.acme.tenant, document["id"])[1] == photo.read_bytes()


def test_a_document_alone_is_enough_for_kinds_that_need_no_file(api: Api) -> None:
    before = api.left()
    document = accepted(api.acme.post(json={"steps": {"say": {"kind": "echo", "message": "hi"}}, "metadata": {"a": 1}}))
    assert (document["input"], document["metadata"]) == (None, {"a": 1})
    assert api.acme.get(f"/v1/jobs/{document['id']}").json() == document
    assert api.left() == {
        **before,
        "jobs": before["jobs"] + 1,
        "steps": before["steps"] + 1,
        "events": before["events"] + 1,
    }


def test_steps_keep_their_order_and_wait_for_what_they_use(api: Api) -> None:
    steps = {"zeta": {"kind": "echo"}, "alpha": {"kind": "echo", "use": ["zeta"]}, "mid": {"kind": "echo"}}
    document = accepted(api.acme.post(json={"steps": steps}))
    assert [(name, step["state"], step["use"]) for name, step in document["steps"].items()] == [
        ("zeta", "queued", []),
        ("alpha", "waiting", ["zeta"]),
        ("mid", "queued", []),
    ]


NAMES = {
    "holiday.jpg": "holiday.jpg",
    "../../etc/passwd": "passwd",
    "/etc/passwd": "passwd",
    "C:\\Users\\me\\photo.jpg": "photo.jpg",
    "..\\..\\photo.jpg": "photo.jpg",
    "%2e%2e%2f%2e%2e%2fphoto.jpg": "photo.jpg",
    "..%5c..%5cphoto.jpg": "photo.jpg",
    "..": "upload",
    "%2e%2e": "upload",
    "": "upload",
    "   ": "upload",
    ".hidden": "hidden",
    "a\x00b.jpg": "ab.jpg",
    "a%00b.jpg": "ab.jpg",
    "a\x1b[31mb.jpg": "a[31mb.jpg",
    "ab\u202egpj.exe": "abgpj.exe",
    "a%ff.jpg": "a\ufffd.jpg",
    "käse ☂ 写真.jpg": "käse ☂ 写真.jpg",
    'say \\"hi\\".jpg': 'say "hi".jpg',
    "x" * 300 + ".jpg": "x" * 255,
}


@pytest.mark.parametrize("sent", NAMES)
def test_a_filename_is_for_people_and_never_a_path(api: Api, sent: str) -> None:
    body = JOB + part_head("file", filename=sent) + b"bytes\r\n" + END
    document = accepted(api.acme.post(content=body, headers={"Content-Type": MULTIPART}))
    assert document["input"]["filename"] == NAMES[sent]
    assert input_key(api.acme.tenant, document["id"]) in api.objects()


TYPES = {
    "image/png": "image/png",
    "IMAGE/PNG": "image/png",
    "image/png; charset=utf-8": "image/png",
    "text/html": "text/html",
    "nonsense": "application/octet-stream",
    "image/": "application/octet-stream",
    "image/p ng": "application/octet-stream",
    "image/" + "x" * 65: "application/octet-stream",
    "ímage/png": "application/octet-stream",
}


@pytest.mark.parametrize("sent", TYPES)
def test_a_content_type_is_kept_if_it_is_one(api: Api, sent: str) -> None:
    body = JOB + part("file", b"bytes", filename="a", content_type=sent) + END
    document = accepted(api.acme.post(content=body, headers={"Content-Type": MULTIPART}))
    assert document["input"]["content_type"] == TYPES[sent]


@pytest.mark.parametrize("chunk", [1, 7, len(BOUNDARY), 1000])
def test_a_body_is_the_same_however_it_is_cut_into_packets(api: Api, chunk: int) -> None:
    """Boundaries that are cut in two, and a last line break that comes alone."""
    content = (b"\r\n--" + BOUNDARY.encode()[:-1]) * 3 + b"\r\n--" + b"\r"
    body = JOB + part("file", content, **PNG) + END
    with connected(api.port) as wire:
        wire.start(api.acme.key, f"Content-Type: {MULTIPART}", "Transfer-Encoding: chunked")
        for at in range(0, len(body) - 2, chunk):
            wire.chunk(body[at : min(at + chunk, len(body) - 2)])
        wire.chunk(b"\r\n")
        wire.chunk(b"")
        answer = wire.answer()
    assert answer.status == 202
    assert stored(api, api.acme.tenant, answer.json()["id"])[1] == content


def test_what_stands_before_the_first_and_after_the_last_boundary_is_ignored(api: Api) -> None:
    body = b"a preamble\r\n" + JOB + part("file", b"bytes", **PNG) + END + b"an epilogue"
    accepted(api.acme.post(content=body, headers={"Content-Type": MULTIPART}))


def test_eight_uploads_at_once_are_all_kept_apart(any_api: Api) -> None:
    async def send(client: httpx2.AsyncClient, content: bytes) -> str:
        answer = await client.post("/v1/jobs", params={"template": "thumbnails"}, content=content)
        job: str = accepted(answer)["id"]
        return job

    async def send_all(contents: list[bytes]) -> list[str]:
        headers = {"Authorization": f"Bearer {any_api.acme.key}", "Content-Type": "image/png"}
        async with httpx2.AsyncClient(base_url=any_api.url, headers=headers, timeout=30, verify=False) as client:
            return await asyncio.gather(*(send(client, content) for content in contents))

    contents = [os.urandom(300_000) for _ in range(8)]
    jobs = asyncio.run(send_all(contents))
    assert [stored(any_api, any_api.acme.tenant, job)[1] for job in jobs] == contents
