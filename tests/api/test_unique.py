"""`unique_key`: for how long a job keeps others away, and that a duplicate leaves nothing behind."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from storage import jobs
from storage.model import Job, JobId
from tests.api.conftest import Api, Caller
from tests.api.refusing import assert_problem, leaving_nothing
from tests.api.wire import END, MULTIPART, part
from tests.api.working import fail, start, succeed
from tests.documents import ECHO

QUEUED, ACTIVE, HOUR = "while_queued", "while_active", {"ttl_seconds": 3600}
FILE = part("file", b"a picture", filename="a.png", content_type="image/png")
RESIZE = {"steps": {"thumbs": {"kind": "image.resize", "variants": [{"name": "small", "width": 320}]}}}
WITH_FILE = part("job", json.dumps({**RESIZE, "unique_key": "k"}).encode()) + FILE + END


def submit(caller: Caller, mode: Any = None, key: str = "k") -> httpx2.Response:
    return caller.post(json={**ECHO, "unique_key": key, **({} if mode is None else {"unique": mode})})


def upload(caller: Caller, idempotency_key: str | None = None) -> httpx2.Response:
    named = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
    return caller.post(content=WITH_FILE, headers={"Content-Type": MULTIPART, **named})


def row(api: Api, answer: httpx2.Response) -> Job:
    with api.database.read(api.acme.tenant) as tx:
        found = jobs.find(tx, JobId(answer.json()["id"]))
    assert found is not None
    return found


def nothing(api: Api, job: Job) -> None:
    return


def begin(api: Api, job: Job) -> None:
    start(api, job)


def end_well(api: Api, job: Job) -> None:
    succeed(api, start(api, job))


def end_badly(api: Api, job: Job) -> None:
    fail(api, start(api, job))


def cancel(api: Api, job: Job) -> None:
    assert api.acme.ask("POST", f"/v1/jobs/{job.id}/cancel").status_code == 200


def grow_old(api: Api, job: Job) -> None:
    with api.database.begin(api.acme.tenant) as tx:
        asked = "UPDATE jobs SET created_at = created_at - interval '1 hour' WHERE tenant_id = %(tenant)s"
        tx.sql(asked)


@pytest.mark.parametrize(
    ("mode", "happened", "held"),
    [
        (None, nothing, True),
        (None, begin, True),
        (None, end_well, False),
        (QUEUED, nothing, True),
        (QUEUED, begin, False),
        (QUEUED, cancel, False),
        (ACTIVE, begin, True),
        (ACTIVE, end_badly, False),
        (ACTIVE, cancel, False),
        (HOUR, end_well, True),
        (HOUR, cancel, True),
        (HOUR, grow_old, False),
    ],
)
def test_a_job_keeps_others_away_for_as_long_as_it_says(
    api: Api, mode: Any, happened: Callable[[Api, Job], None], held: bool
) -> None:
    first = submit(api.acme, mode)
    assert first.status_code == 202
    happened(api, row(api, first))
    second = submit(api.acme, mode)
    assert (second.status_code, second.json()["id"] == first.json()["id"]) == ((200, True) if held else (202, False))
    assert second.headers["location"] == f"/v1/jobs/{second.json()['id']}"


def test_the_answer_to_a_duplicate_is_the_job_as_it_stands(api: Api) -> None:
    first = submit(api.acme)
    start(api, row(api, first))
    with leaving_nothing(api):
        again = submit(api.acme)
    assert again.json()["state"] == "running"
    assert again.json() == api.acme.get(f"/v1/jobs/{first.json()['id']}").json()


def test_other_keys_and_other_tenants_are_other_jobs(api: Api) -> None:
    made = [submit(api.acme), submit(api.acme, key="l"), submit(api.other), api.acme.post(json=ECHO)]
    assert [one.status_code for one in made] == [202] * 4
    assert len({one.json()["id"] for one in made}) == 4


def test_of_twenty_at_once_one_makes_the_job(any_api: Api) -> None:
    before = any_api.left()
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: upload(any_api.acme), range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [202]
    (job_id,) = {answer.json()["id"] for answer in answers}
    after = any_api.left()
    assert (after["jobs"], after["removals"]) == (before["jobs"] + 1, before["removals"])
    (made,) = set(after["objects"]) - set(before["objects"])
    assert made == f"{any_api.acme.tenant}/{job_id}/input"


def test_the_file_of_a_duplicate_does_not_stay(any_api: Api) -> None:
    first = upload(any_api.acme)
    with leaving_nothing(any_api):
        again = upload(any_api.acme)
        assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    assert f"{any_api.acme.tenant}/{first.json()['id']}/input" in any_api.objects()


def test_with_an_idempotency_key_each_answer_is_given_again_as_it_was(any_api: Api) -> None:
    first, duplicate = upload(any_api.acme, "one"), upload(any_api.acme, "two")
    assert (first.status_code, duplicate.status_code) == (202, 200)
    assert duplicate.json()["id"] == first.json()["id"]
    with leaving_nothing(any_api):
        for key, was in (("one", first), ("two", duplicate)):
            again = upload(any_api.acme, key)
            assert (again.status_code, again.json()) == (was.status_code, was.json())
            assert again.headers["location"] == was.headers["location"]


def test_a_retry_takes_the_key_again_unless_another_job_has_it(api: Api) -> None:
    first = submit(api.acme)
    end_badly(api, row(api, first))
    again = api.acme.ask("POST", f"/v1/jobs/{first.json()['id']}/retry")
    assert again.status_code == 202
    assert submit(api.acme).json()["id"] == first.json()["id"]
    end_badly(api, row(api, first))
    assert submit(api.acme).status_code == 202
    refused = api.acme.ask("POST", f"/v1/jobs/{first.json()['id']}/retry")
    assert_problem(refused.status_code, refused.headers, refused.json(), (409, "unique_key_taken"))


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"unique": "while_active"}, "/unique"),
        ({"unique_key": ""}, "/unique_key"),
        ({"unique_key": "x" * 256}, "/unique_key"),
        ({"unique_key": 1}, "/unique_key"),
        ({"unique_key": "k", "unique": "for_ever"}, "/unique"),
        ({"unique_key": "k", "unique": {"ttl": 1}}, "/unique"),
        ({"unique_key": "k", "unique": {"ttl_seconds": 0}}, "/unique/ttl_seconds"),
        ({"unique_key": "k", "unique": {"ttl_seconds": None}}, "/unique/ttl_seconds"),
        ({"unique_key": "k", "unique": {"ttl_seconds": 2_592_001}}, "/unique/ttl_seconds"),
        ({"unique_key": "k", "unique": ["while_active"]}, "/unique"),
        ({"unique_key": "k", "unique": "ttl_seconds"}, "/unique"),
    ],
)
def test_what_makes_no_sense_is_refused(api: Api, fields: dict[str, Any], pointer: str) -> None:
    with leaving_nothing(api):
        answer = api.acme.post(json={**ECHO, **fields})
        assert_problem(answer.status_code, answer.headers, answer.json(), (422, "invalid_job"), [pointer])
