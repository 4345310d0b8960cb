"""An object store that does not answer is a 503 for those who need it, and for nobody else."""

import dataclasses
from collections.abc import Iterator

import pytest

from api import app
from storage.database import Database
from storage.objects.settings import ObjectSettings, Patience
from tests.api.conftest import Api, seen
from tests.api.refusing import assert_problem
from tests.api.serving import served, settings
from tests.documents import ECHO

QUICK = Patience(connect=0.2, part=0.2, idle=0.2, retry=0.2, tries=1)


@pytest.fixture
def storeless(
    database: Database, database_url: str, bucket: ObjectSettings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Api]:
    """The app before an object store whose port is closed."""
    monkeypatch.setattr(app, "STOP_SECONDS", 0.05)  # what it still tries to undo cannot be undone
    gone = dataclasses.replace(bucket, endpoint="http://127.0.0.1:1", patience=QUICK)
    with served(settings(database_url, objects=gone)) as running, seen(running, database, list) as api:
        yield api


@pytest.mark.parametrize("size", [10, 9_000_000])
def test_an_upload_is_refused_and_leaves_no_row(storeless: Api, size: int) -> None:
    answer = storeless.acme.post(params={"template": "thumbnails"}, content=bytes(size))
    assert_problem(answer.status_code, answer.headers, answer.json(), (503, "store_unavailable"))
    assert int(answer.headers["retry-after"]) > 0
    assert storeless.left()["jobs"] == 0


def test_the_key_of_such_an_upload_is_free_again(storeless: Api) -> None:
    headers = {"Idempotency-Key": "mine"}
    for _ in range(2):
        answer = storeless.acme.post(params={"template": "thumbnails"}, content=b"x", headers=headers)
        assert answer.json()["code"] == "store_unavailable"
    assert storeless.left()["idempotency"] == 0


def test_jobs_without_a_file_are_accepted_and_flawed_ones_refused_as_ever(storeless: Api) -> None:
    assert storeless.acme.post(json=ECHO).status_code == 202
    assert storeless.acme.post(json={}).status_code == 422


def test_the_process_says_that_it_is_not_ready(storeless: Api) -> None:
    answer = storeless.acme.get("/readyz")
    assert_problem(answer.status_code, answer.headers, answer.json(), (503, "store_unavailable"))
