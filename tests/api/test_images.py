"""Pictures on the fly: a placeholder and one job at first, the picture from then on, for whoever has the link."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from api.image_links import INFO
from api.placeholder import GREY, png
from storage import renditions, uploads
from storage.image_model import UploadId
from storage.keys import output_key, rendition_key
from storage.model import PublicError
from tasks.image_path import NAME
from tests.api.conftest import Api
from tests.api.picturing import KIND, PICTURE, Signer, asked, do, make, making, shown, signer, upload
from tests.api.refusing import assert_problem, eventually
from tests.api.storing import in_store, put_output
from tests.api.working import succeed
from tests.documents import taken

YEAR = 365 * 86_400


@pytest.fixture
def key(api: Api) -> Signer:
    return signer(api.acme)


def jobs_of(api: Api) -> list[Any]:
    listed: list[Any] = api.acme.get("/v1/jobs").json()["data"]
    return listed


def refused(answer: httpx2.Response, expected: tuple[int, str], *pointers: str) -> None:
    assert_problem(answer.status_code, answer.headers, answer.json(), expected, pointers)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cache-control"] == "no-store"


def test_at_first_there_is_a_placeholder_and_a_job_and_then_the_picture(api: Api, key: Signer) -> None:
    file = upload(api.acme)
    path = key.link("f:webp,w:300,exp:4000000000", file)
    first = shown(api, path)
    job = making(api, first)
    assert (first.headers["retry-after"], first.headers["cache-control"]) == ("1", "no-store")
    assert (first.headers["content-type"], first.content) == ("image/png", png(bytes(GREY) * 1024, 32, 32))
    assert "blurhash" not in first.headers
    assert [(step.name, step.kind, step.state.value) for step in job.steps] == [
        (NAME, "image.resize", "queued"),
        (INFO, "image.info", "queued"),
    ]
    assert (job.priority, job.input and job.input.filename, asked(api, job)[0]) == (0, "upload", "while_active")
    assert job.metadata == {"on_the_fly": {"upload": file, "operations": "w:300,f:webp"}}
    digest = make(api, job)
    answer = shown(api, path)
    assert (answer.status_code, answer.content) == (200, PICTURE)
    headers = answer.headers
    assert (headers["content-type"], headers["content-length"]) == (KIND, str(len(PICTURE)))
    assert (headers["etag"], headers["cache-control"]) == (f'"{digest}"', f"public, max-age={YEAR}, immutable")
    assert headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in headers["content-security-policy"]
    assert (headers["access-control-allow-origin"], headers["cross-origin-resource-policy"]) == ("*", "cross-origin")
    assert len(jobs_of(api)) == 1


def test_what_asks_for_the_same_in_other_words_is_the_same_picture(api: Api, key: Signer) -> None:
    file = upload(api.acme)
    make(api, making(api, shown(api, key.link("w:300,h:200,fit:cover", file))))
    assert shown(api, key.link("fit:cover,height:200,width:300", file)).status_code == 200
    assert shown(api, key.link("w:300,h:200,fit:cover", upload(api.acme))).status_code == 200  # of the same bytes
    making(api, shown(api, key.link("w:300,h:200,fit:cover,page:2", file)))
    making(api, shown(api, key.link("_", upload(api.acme, b"other bytes"))))
    assert len(jobs_of(api)) == 3


def test_a_path_may_be_percent_encoded_on_its_way(api: Api, key: Signer) -> None:
    path = key.link("w:300,f:webp", upload(api.acme))
    making(api, shown(api, path.replace(":", "%3A").replace(",", "%2C")))


def test_head_tells_of_the_picture_without_it(api: Api, key: Signer) -> None:
    path = key.link("w:300", upload(api.acme))
    first = shown(api, path, "HEAD")
    assert (first.status_code, first.content, first.headers["content-type"]) == (202, b"", "image/png")
    make(api, making(api, first))
    got, told = shown(api, path), shown(api, path, "HEAD")
    assert (told.status_code, told.content) == (200, b"")
    own = {"date": "", "x-request-id": ""}
    assert {**told.headers, **own} == {**got.headers, **own}


@pytest.mark.parametrize("sent", ['"{}"', 'W/"{}"', '"other", "{}"', "*"])
def test_who_has_the_picture_is_not_sent_it_again(api: Api, key: Signer, sent: str) -> None:
    path = key.link("w:300", upload(api.acme))
    digest = make(api, making(api, shown(api, path)))
    answer = shown(api, path, headers={"If-None-Match": sent.format(digest)})
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", f'"{digest}"')
    assert "immutable" in answer.headers["cache-control"]
    assert shown(api, path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_many_who_miss_at_once_make_one_job(api: Api, key: Signer) -> None:
    path = key.link("w:300", upload(api.acme))

    async def ask_all() -> list[httpx2.Response]:
        async with httpx2.AsyncClient(base_url=api.url, timeout=30) as anybody:
            return await asyncio.gather(*(anybody.get(path) for _ in range(40)))

    answers = asyncio.run(ask_all())
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.headers["link"] for answer in answers}) == len(jobs_of(api)) == 1


def test_a_placeholder_is_the_blurhash_in_the_proportions_of_the_picture(api: Api, key: Signer) -> None:
    file = upload(api.acme)
    with api.database.begin(api.acme.tenant) as tx:
        uploads.describe(tx, UploadId(file), blurhash="002A2O", width=640, height=320)
    answer = shown(api, key.link("w:300", file))
    assert answer.headers["blurhash"] == "002A2O"
    assert answer.content == png(b"\x12\x80\xee" * 32 * 16, 32, 16)
    assert [step.name for step in making(api, answer).steps] == [NAME]  # it has been looked at
    assert shown(api, key.link("w:300,rot:90", file)).content == png(b"\x12\x80\xee" * 16 * 32, 16, 32)
    assert shown(api, key.link("w:30,h:30,fit:cover", file)).content == png(b"\x12\x80\xee" * 32 * 32, 32, 32)


def test_who_waits_gets_the_picture_as_soon_as_it_is_there(api: Api, key: Signer) -> None:
    path = key.link("w:300", upload(api.acme))
    job = making(api, shown(api, path))
    waiting = api.served.service.hub._waiting
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(shown, api, f"{path}?wait=30")
        eventually(lambda: job.id in waiting, "somebody waits for the job")
        make(api, job)  # the other step has not ended yet
        assert answer.result(timeout=20).status_code == 200
    assert job.id not in waiting


def test_who_has_waited_in_vain_gets_the_placeholder(api: Api, key: Signer) -> None:
    path = key.link("w:300", upload(api.acme))
    assert shown(api, f"{path}?wait=0.05").status_code == 202
    for wrong in ("31", "-1", "nan", "soon"):
        answer = shown(api, f"{path}?wait={wrong}")
        assert_problem(answer.status_code, answer.headers, answer.json(), (422, "invalid_parameter"), ["/query/wait"])


BROKEN = PublicError(code="image_unreadable", message="this is no picture")


def test_what_cannot_be_made_is_refused_and_not_tried_again_at_once(api: Api, key: Signer) -> None:
    path = key.link("w:300", upload(api.acme))
    job = making(api, shown(api, path))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(shown, api, f"{path}?wait=30")
        do(api, job, NAME, BROKEN)
        do(api, job, INFO, BROKEN)
        refused(waiting.result(timeout=20), (422, "image_unreadable"))
    for _ in range(2):
        answer = shown(api, path)
        refused(answer, (422, "image_unreadable"))
        assert answer.json()["detail"] == "this is no picture"
    assert len(jobs_of(api)) == 1
    with api.database.begin(api.acme.tenant) as tx:  # ten minutes later
        tx.sql("UPDATE steps SET finished_at = finished_at - interval '601 seconds' WHERE tenant_id = %(tenant)s")
    assert making(api, shown(api, path)).id != job.id


def test_an_upload_that_could_not_be_looked_at_keeps_no_picture_away(api: Api, key: Signer) -> None:
    path = key.link("w:300", upload(api.acme))
    job = making(api, shown(api, path))
    do(api, job, INFO, BROKEN)
    make(api, job)
    assert shown(api, path).status_code == 200


def test_a_canceled_job_is_no_reason_to_refuse(api: Api, key: Signer) -> None:
    path = key.link("w:300", upload(api.acme))
    job = making(api, shown(api, path))
    assert api.acme.ask("POST", f"/v1/jobs/{job.id}/cancel").status_code == 200
    assert making(api, shown(api, path)).id != job.id


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_picture_that_was_forgotten_is_made_again(api: Api, key: Signer, method: str) -> None:
    path = key.link("w:300", upload(api.acme))
    job = making(api, shown(api, path))
    digest = make(api, job)
    do(api, job, INFO)
    in_store(api, lambda objects: objects.delete([rendition_key(api.acme.tenant, digest)]))
    again = making(api, shown(api, path, method))  # its object is not there, whoever took it
    assert again.id != job.id
    with api.database.read(api.acme.tenant) as tx:
        assert not renditions.find(tx, [digest])
    assert make(api, again) == digest
    assert shown(api, path).status_code == 200


def test_a_picture_of_another_version_of_the_engine_is_shown_and_not_made_for_ever(api: Api, key: Signer) -> None:
    path = key.link("w:300", upload(api.acme))
    job = making(api, shown(api, path))
    other = make(api, job, digest="ab" * 32)
    do(api, job, INFO)
    answer = shown(api, path)
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (200, PICTURE, f'"{other}"')
    assert len(jobs_of(api)) == 1


def test_where_nothing_is_shared_the_picture_is_its_jobs_own(api: Api, key: Signer) -> None:
    path = key.link("w:300", upload(api.acme))
    job = making(api, shown(api, path))
    do(api, job, INFO)
    claim = taken(api.database, api.acme.tenant, job, NAME)
    stored = put_output(api, claim, PICTURE, NAME)
    assert stored == output_key(claim.tenant_id, job.id, claim.step_id, 1, NAME)
    succeed(api, claim, {"outputs": [{"name": NAME, "bytes": len(PICTURE), "content_type": KIND}]})
    answer = shown(api, path)
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, PICTURE, KIND)
    in_store(api, lambda objects: objects.delete([stored]))
    assert making(api, shown(api, path)).id != job.id


def test_a_picture_is_kept_by_others_no_longer_than_its_link_holds(api: Api, key: Signer) -> None:
    now = int(datetime.now(UTC).timestamp())
    file = upload(api.acme, expires_in="5000")
    make(api, making(api, shown(api, key.link("w:300", file))))

    def seconds(path: str) -> int:
        return int(shown(api, path).headers["cache-control"].partition("max-age=")[2].partition(",")[0])

    assert 4000 < seconds(key.link("w:300", file)) <= 5000
    assert 900 < seconds(key.link(f"w:300,exp:{now + 1000}", file)) <= 1000
    api.acme.ask(
        "POST", f"/v1/image-keys/{key.id}/retire", json={"at": datetime.fromtimestamp(now + 500, UTC).isoformat()}
    )
    assert 400 < seconds(key.link("w:300", file)) <= 500


def test_the_answers_are_those_of_the_published_document(api: Api, key: Signer) -> None:
    """The fuzz test finds no valid signature."""
    document = api.acme.http.get("/openapi.json").json()
    for method in ("get", "head"):
        told = document["paths"]["/i/{signature}/{operations}/{upload}"][method]
        assert set(told["responses"]) == {"200", "202", "304", "403", "404", "410", "422", "503"}
        assert "security" not in told


def test_waiting_does_not_keep_the_process_from_others(api: Api, key: Signer) -> None:
    """More wait than there are connections to the database."""
    path = key.link("w:300", upload(api.acme))
    job = making(api, shown(api, path))
    many = api.served.service.settings.database.pool_size * 3
    with ThreadPoolExecutor(many) as pool:
        answers = [pool.submit(shown, api, f"{path}?wait=30") for _ in range(many)]
        waiting = api.served.service.hub._waiting
        eventually(lambda: len(waiting.get(job.id, ())) == many, "all of them wait")
        assert shown(api, path).status_code == 202
        threading.Thread(target=make, args=(api, job)).start()
        assert {answer.result(timeout=20).status_code for answer in answers} == {200}
