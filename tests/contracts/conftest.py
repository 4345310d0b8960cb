"""The implementations that the contract suites run against; the real S3 server comes from tests/conftest.py."""

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from storage.objects import Objects
from storage.objects.boto import s3_client
from storage.objects.memory import MemoryObjects
from storage.objects.s3 import S3Objects
from storage.objects.settings import ObjectSettings

Pending = Callable[[], list[str]]


@pytest.fixture
async def s3(bucket: ObjectSettings) -> AsyncIterator[S3Objects]:
    objects = S3Objects(bucket)
    yield objects
    await objects.close()


@pytest.fixture(params=["memory", "s3"])
def objects(request: pytest.FixtureRequest) -> Objects:
    if request.param == "memory":
        return MemoryObjects()
    s3: S3Objects = request.getfixturevalue("s3")
    return s3


@pytest.fixture
def folder() -> str:
    """A folder of the bucket that no other test uses."""
    return f"{uuid.uuid4().hex}/"


@pytest.fixture(scope="session")
def client(bucket: ObjectSettings) -> Iterator[Any]:
    """boto3's view of the bucket."""
    client = s3_client(bucket)
    yield client
    client.close()


@pytest.fixture
def pending(objects: Objects, folder: str, request: pytest.FixtureRequest) -> Pending:
    """Lists the keys of this test's uploads that were begun and neither completed nor aborted."""
    if not isinstance(objects, S3Objects):
        return list
    client: Any = request.getfixturevalue("client")
    bucket: ObjectSettings = request.getfixturevalue("bucket")

    def keys() -> list[str]:
        answer = client.list_multipart_uploads(Bucket=bucket.bucket)
        return [upload["Key"] for upload in answer.get("Uploads", []) if upload["Key"].startswith(folder)]

    return keys
