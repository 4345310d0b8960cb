"""`/v1/uploads`: kept whole and described by what their bytes are, listed, fetched and deleted by their owner alone."""

import hashlib
import os
from collections.abc import Mapping
from typing import Any

import httpx2
import pytest
from jsonschema_rs import Draft202012Validator

from storage.errors import StorageError
from storage.image_model import UploadId
from storage.keys import upload_key
from tests.api.conftest import Api, Caller
from tests.api.refusing import assert_problem
from tests.api.serving import MAX_UPLOAD_BYTES
from tests.api.storing import sweep
from tests.api.wire import END, MULTIPART, connected, part, part_head
from tests.waiting import until

CONTENT = b"\x89PNG" + bytes(range(256)) * 10
POST = "POST /v1/uploads HTTP/1.1"
PNG = {"filename": "a.png", "content_type": "image/png"}
FORM = part("file", CONTENT, **PNG) + END


def ask(
    caller: Caller, method: str, path: str = "", headers: Mapping[str, str] | None = None, **how: Any
) -> httpx2.Response:
    """A request below /v1/uploads."""
    sent = {"Authorization": f"Bearer {caller.key}", **(headers or {})}
    return caller.http.request(method, f"/v1/uploads{path}", headers=sent, **how)


def send(caller: Caller, body: bytes = FORM, key: str | None = None, **params: str) -> httpx2.Response:
    headers = {"Content-Type": MULTIPART} | ({} if key is None else {"Idempotency-Key": key})
    return ask(caller, "POST", "", headers, content=body, params=params)


def made(answer: httpx2.Response) -> Any:
    assert answer.status_code == 201, answer.text
    return answer.json()


def refused(answer: httpx2.Response, expected: tuple[int, str], *pointers: str) -> None:
    assert_problem(answer.status_code, answer.headers, answer.json(), expected, pointers)


@pytest.mark.parametrize("size", [1, 9_000_001], ids=["one byte", "two parts"])
@pytest.mark.parametrize("form", ["multipart", "bare"])
def test_a_file_is_kept_as_it_was_sent(any_api: Api, form: str, size: int) -> None:
    content = os.urandom(size)
    if form == "bare":
        answer = ask(any_api.acme, "POST", "", {"Content-Type": "IMAGE/png; x=y"}, content=content)
    else:
        answer = send(any_api.acme, part("file", content, **PNG) + END)
    upload = made(answer)
    path = f"/v1/uploads/{upload['id']}"
    assert answer.headers["location"] == path
    assert {field: value for field, value in upload.items() if field not in ("id", "created_at")} == {
        "filename": "upload" if form == "bare" else "a.png",
        "content_type": "image/png",
        "bytes": size,
        "sha256": hashlib.sha256(content).hexdigest(),
        "expires_at": None,
        "blurhash": None,
        "width": None,
        "height": None,
        "links": {"self": path, "content": f"{path}/content"},
    }
    assert ask(any_api.acme, "GET", f"/{upload['id']}").json() == upload
    fetched = any_api.acme.get(upload["links"]["content"])
    assert fetched.content == content
    assert (fetched.headers["content-type"], fetched.headers["content-length"]) == ("image/png", str(size))
    assert fetched.headers["etag"] == f'"{upload["sha256"]}"'
    assert fetched.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in fetched.headers["content-security-policy"]


def test_a_redirect_leads_to_the_bytes_without_a_key(s3_api: Api) -> None:
    upload = made(send(s3_api.acme))
    answer = ask(s3_api.acme, "GET", f"/{upload['id']}/content?redirect=true", follow_redirects=False)
    assert answer.status_code == 307
    assert httpx2.get(answer.headers["location"]).content == CONTENT


def test_uploads_are_listed_newest_first_page_by_page(api: Api) -> None:
    ids = [made(send(api.acme))["id"] for _ in range(3)]
    first = ask(api.acme, "GET", "?limit=2").json()
    assert [one["id"] for one in first["data"]] == [ids[2], ids[1]]
    rest = ask(api.acme, "GET", f"?limit=2&cursor={first['next_cursor']}").json()
    assert ([one["id"] for one in rest["data"]], rest["next_cursor"]) == ([ids[0]], None)
    refused(ask(api.acme, "GET", "?cursor=job_01k3x2v9r8e6t9c8m1n4p7q2sd"), (422, "cursor_invalid"))


def test_another_tenant_sees_and_deletes_nothing_of_it(api: Api) -> None:
    upload = made(send(api.acme))
    for method, path in (("GET", ""), ("GET", "/content"), ("GET", "/content?redirect=true"), ("DELETE", "")):
        refused(ask(api.other, method, f"/{upload['id']}{path}"), (404, "not_found"))
    assert ask(api.other, "GET").json()["data"] == []
    assert ask(api.acme, "GET", f"/{upload['id']}").status_code == 200


def test_a_key_needs_the_scopes_that_jobs_need(api: Api) -> None:
    upload = made(send(api.acme))
    reading, writing = api.key(api.acme, "jobs:read"), api.key(api.acme, "jobs:write")
    may_not = [("POST", "", reading), ("DELETE", f"/{upload['id']}", reading), ("GET", "", writing)]
    may_not += [("GET", f"/{upload['id']}", writing), ("GET", f"/{upload['id']}/content", writing)]
    for method, path, key in may_not:
        refused(api.acme.ask(method, f"/v1/uploads{path}", key=key), (403, "scope_missing"))


def test_a_deleted_upload_is_gone_and_so_is_its_file(api: Api) -> None:
    upload = made(send(api.acme))
    key = upload_key(api.acme.tenant, UploadId(upload["id"]))
    assert key in api.objects()
    assert ask(api.acme, "DELETE", f"/{upload['id']}").status_code == 204
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        refused(ask(api.acme, method, f"/{upload['id']}{path}"), (404, "not_found"))
    sweep(api)
    assert key not in api.objects()


def test_an_upload_is_not_there_any_more_when_its_time_is_over(api: Api) -> None:
    upload = made(send(api.acme, expires_in="3600"))
    assert upload["expires_at"] > upload["created_at"]
    with api.database.begin(api.acme.tenant) as tx:
        tx.sql("UPDATE uploads SET expires_at = now() WHERE tenant_id = %(tenant)s")
    refused(ask(api.acme, "GET", f"/{upload['id']}/content"), (404, "not_found"))
    assert ask(api.acme, "GET").json()["data"] == []


@pytest.mark.parametrize("seconds", ["0", "-1", "400000000", "soon", "1.5"])
def test_a_time_that_is_none_is_refused(api: Api, seconds: str) -> None:
    refused(send(api.acme, expires_in=seconds), (422, "invalid_parameter"), "/query/expires_in")


FLAWED = {
    "empty": (part("file", b"", **PNG) + END, ["/file"]),
    "missing": (END, ["/file"]),
    "unknown": (part("flie", b"a", **PNG) + END, ["/flie"]),
    "twice": (part("file", b"a", **PNG) + part("file", b"b", **PNG) + END, ["/file"]),
}


@pytest.mark.parametrize("flaw", FLAWED)
def test_a_flawed_form_leaves_nothing(api: Api, flaw: str) -> None:
    before = api.left()
    body, pointers = FLAWED[flaw]
    refused(send(api.acme, body), (422, "invalid_request"), *pointers)
    sweep(api)
    assert api.left() == before


@pytest.mark.parametrize("told", [True, False], ids=["told before", "noticed on the way"])
def test_what_is_too_large_leaves_nothing(api: Api, told: bool) -> None:
    before = api.left()
    with connected(api.port) as wire:
        length = f"Content-Length: {MAX_UPLOAD_BYTES * 2}" if told else "Transfer-Encoding: chunked"
        wire.start(api.acme.key, "Content-Type: image/png", length, line=POST)
        for _ in range(0 if told else MAX_UPLOAD_BYTES // 1024**2 + 1):
            wire.chunk(b"x" * 1024**2)
        answer = wire.answer()
    assert_problem(answer.status, answer.headers, answer.json(), (413, "too_large"))
    sweep(api)
    assert api.left() == before


def test_an_upload_that_is_cut_off_leaves_nothing(api: Api) -> None:
    before = api.left()
    with connected(api.port) as wire:
        wire.start(api.acme.key, f"Content-Type: {MULTIPART}", "Transfer-Encoding: chunked", line=POST)
        wire.chunk(part_head("file", **PNG) + b"the first bytes")
        until(lambda: api.left()["removals"] > before["removals"])

    def swept() -> bool:
        sweep(api)
        return api.left() == before

    until(swept)


def test_a_row_that_cannot_be_written_leaves_no_file(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    before = api.left()

    def insert(*_: Any) -> None:
        raise StorageError("the database is full")

    monkeypatch.setattr("storage.uploads.insert", insert)
    assert send(api.acme, key="mine").status_code == 500
    monkeypatch.undo()
    sweep(api)
    assert api.left() == before
    made(send(api.acme, key="mine"))


def test_the_same_key_with_the_same_file_is_one_upload(api: Api) -> None:
    first, again = send(api.acme, key="mine", expires_in="60"), send(api.acme, key="mine", expires_in="60")
    assert made(first) == made(again)
    assert again.headers["location"] == first.headers["location"]
    refused(send(api.acme, key="mine"), (422, "idempotency_mismatch"))
    other = part("file", CONTENT + b"!", **PNG) + END
    refused(send(api.acme, other, key="mine", expires_in="60"), (422, "idempotency_mismatch"))
    refused(send(api.acme, key="no spaces"), (400, "idempotency_key_malformed"))
    assert len(ask(api.acme, "GET").json()["data"]) == 1


def test_a_refused_upload_leaves_its_key_free(api: Api) -> None:
    refused(send(api.acme, END, key="mine"), (422, "invalid_request"), "/file")
    made(send(api.acme, key="mine"))


def test_a_filename_is_for_people_and_never_a_path(api: Api) -> None:
    upload = made(send(api.acme, part("file", b"a", filename="../../etc/passwd", content_type="text/html") + END))
    assert (upload["filename"], upload["content_type"]) == ("passwd", "text/html")
    assert upload_key(api.acme.tenant, UploadId(upload["id"])) in api.objects()


def test_the_published_document_holds_the_answers(api: Api) -> None:
    components = api.acme.http.get("/openapi.json").json()["components"]
    upload = made(send(api.acme, expires_in="60"))
    for name, answer in (("UploadDocument", upload), ("UploadPage", ask(api.acme, "GET").json())):
        Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": components}).validate(answer)
