"""Pictures that are there already, over HTTP: answered at once, read like any output; files that are uploads."""

import hashlib
import json
from typing import Any

import pytest

from storage import jobs, renditions, uploads
from storage.image_model import Digest, Facts, NewUpload, UploadId, new_upload_id
from storage.keys import rendition_key
from storage.model import JobId
from tasks.image_identity import identity
from tasks.image_params import Variant
from tasks.renditions import digest
from tests.api.conftest import Api, Caller
from tests.api.refusing import assert_problem, leaving_nothing
from tests.api.storing import in_store, once, sweep
from tests.api.wire import END, MULTIPART, part
from tests.api.working import start, succeed
from tests.documents import put_in

FILE, PICTURE = b"\x89PNG the file", b"RIFF the picture"
SHA256 = hashlib.sha256(FILE).hexdigest()
SMALL = {"name": "small", "width": 64}
RESIZE = {"steps": {"thumbs": {"kind": "image.resize", "variants": [SMALL]}}}
ECHO = {"steps": {"say": {"kind": "echo"}}}
FACTS = Facts(width=64, height=48, frames=1, bytes=len(PICTURE), content_type="image/webp", engine="vips 8.18.7")


def of(api: Api) -> Digest:
    """By what the API knows the picture."""
    return digest(
        SHA256,
        Variant.model_validate(SMALL),
        page=1,
        allow_truncated=False,
        focus=(),
        watermark_sha256=None,
        engine_identity=identity(api.served.service.settings.image_engine),
    )


def make(api: Api, caller: Caller) -> str:
    """The picture, as another job of the caller's has made it; returns its key."""
    job, made = put_in(api.database, caller.tenant), of(api)
    key = rendition_key(caller.tenant, made)
    in_store(api, lambda objects: objects.put(key, once(PICTURE), content_type="image/webp"))
    with api.database.begin(caller.tenant) as tx:
        renditions.begin(tx, job.id, [made])
        renditions.finish(tx, made, FACTS)
    return key


def post_file(api: Api, document: Any, *, file_first: bool = False) -> Any:
    halves = [
        part("job", json.dumps(document).encode(), content_type="application/json"),
        part("file", FILE, filename="a.png", content_type="image/png"),
    ]
    body = b"".join(reversed(halves) if file_first else halves) + END
    return api.acme.post(content=body, headers={"Content-Type": MULTIPART})


@pytest.mark.parametrize("file_first", [False, True])
def test_a_job_whose_picture_is_there_has_succeeded_in_its_answer(any_api: Api, file_first: bool) -> None:
    key = make(any_api, any_api.acme)
    answer = post_file(any_api, RESIZE, file_first=file_first)
    assert answer.status_code == 202, answer.text
    document = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{document['id']}"
    assert (document["state"], document["steps"]["thumbs"]["state"]) == ("succeeded", "succeeded")
    [output] = document["steps"]["thumbs"]["result"]["outputs"]
    assert (output["name"], output["width"], output["bytes"]) == ("small", 64, len(PICTURE))
    read = any_api.acme.get(output["href"])
    assert (read.status_code, read.content, read.headers["content-type"]) == (200, PICTURE, "image/webp")
    assert any_api.other.get(output["href"]).status_code == 404
    in_store(any_api, lambda objects: objects.delete([key]))
    assert any_api.acme.get(output["href"]).status_code == 404
    again = post_file(any_api, RESIZE).json()
    assert again["state"] == "queued", "what is missing is made anew"


def test_a_picture_of_another_tenant_is_not_there(api: Api) -> None:
    make(api, api.other)
    assert post_file(api, RESIZE).json()["state"] == "queued"


def sha256_of(api: Api, job_id: str) -> str | None:
    with api.database.read(api.acme.tenant) as tx:
        job = jobs.find(tx, JobId(job_id))
    assert job is not None
    assert job.input is not None
    return job.input.sha256


def test_bytes_are_hashed_on_their_way_where_somebody_asks(api: Api) -> None:
    assert sha256_of(api, post_file(api, RESIZE).json()["id"]) == SHA256
    assert sha256_of(api, post_file(api, RESIZE, file_first=True).json()["id"]) == SHA256
    assert sha256_of(api, post_file(api, ECHO).json()["id"]) is None


def keep(api: Api) -> UploadId:
    upload_id = new_upload_id()
    with api.database.begin(api.acme.tenant) as tx:
        uploads.expect(tx, upload_id, due_in_seconds=60)
        new = NewUpload(id=upload_id, filename="kept.png", content_type="image/png", bytes=len(FILE), sha256=SHA256)
        kept = uploads.insert(tx, new)
    in_store(api, lambda objects: objects.put(kept.key, once(FILE), content_type="image/png"))
    return upload_id


def own_objects(api: Api) -> list[str]:
    """What stands in the store of acme's; what is left of other tests a sweep takes along."""
    return sorted(key for key in api.objects() if key.startswith(api.acme.tenant))


def test_a_job_names_an_upload_as_its_file_and_leaves_it_when_it_goes(api: Api) -> None:
    upload_id = keep(api)
    make(api, api.acme)
    before = own_objects(api)
    answer = api.acme.post(json={"input": {"upload": upload_id}, **RESIZE})
    assert answer.status_code == 202, answer.text
    document = answer.json()
    assert document["input"] == {"filename": "kept.png", "content_type": "image/png", "bytes": len(FILE)}
    assert document["state"] == "succeeded"
    assert api.acme.ask("DELETE", f"/v1/jobs/{document['id']}").status_code == 204
    sweep(api)
    assert own_objects(api) == before


def test_a_deleted_job_takes_along_the_pictures_that_only_it_has(any_api: Api) -> None:
    api = any_api
    job, made = put_in(api.database, api.acme.tenant), of(api)
    key = rendition_key(api.acme.tenant, made)
    in_store(api, lambda objects: objects.put(key, once(PICTURE), content_type="image/webp"))
    with api.database.begin(api.acme.tenant) as tx:
        renditions.begin(tx, job.id, [made])
        renditions.finish(tx, made, FACTS)
    succeed(api, start(api, job), {})
    assert key in api.objects()
    assert api.acme.ask("DELETE", f"/v1/jobs/{job.id}").status_code == 204
    assert key not in api.objects()


def test_an_upload_is_refused_that_is_not_there_or_not_the_caller_s(api: Api) -> None:
    upload_id = keep(api)
    with leaving_nothing(api):
        for caller, asked in ((api.acme, new_upload_id()), (api.other, upload_id)):
            answer = caller.post(json={"input": {"upload": asked}, **RESIZE})
            refused = (422, "invalid_job")
            assert_problem(answer.status_code, answer.headers, answer.json(), refused, ["/input/upload"])


@pytest.mark.parametrize("file_first", [False, True])
def test_a_file_and_an_upload_are_one_too_many(api: Api, file_first: bool) -> None:
    document = {"input": {"upload": keep(api)}, **RESIZE}
    with leaving_nothing(api):
        answer = post_file(api, document, file_first=file_first)
        assert_problem(answer.status_code, answer.headers, answer.json(), (422, "invalid_job"), ["/input"])
