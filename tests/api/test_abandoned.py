"""An upload whose API process died: the file is found by the list of removals, and goes."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from deploy.local.servers import Urls
from scheduler.sweep import remove_objects
from storage.objects.blocking import Blocking
from storage.objects.settings import ObjectSettings
from storage.objects.stores import open_objects
from tests.api.started import Api, started_api
from tests.api.wire import MULTIPART, connected, part, part_head
from tests.waiting import until


@pytest.fixture
def api(servers: Urls, template_database: str, s3_env: Mapping[str, str]) -> Iterator[Api]:
    """A process that may be killed."""
    with started_api(servers, template_database, s3_env) as started:
        yield started


@pytest.fixture
def objects(bucket: ObjectSettings) -> Iterator[Blocking]:
    blocking = Blocking(open_objects(bucket))
    yield blocking
    blocking.close()


def stored(client: Any, bucket: ObjectSettings, api: Api) -> list[str]:
    found = client.list_objects_v2(Bucket=bucket.bucket, Prefix=f"{api.tenant_id}/")
    return [item["Key"] for item in found.get("Contents", [])]


def test_the_file_of_an_upload_whose_process_died_is_swept_away_when_it_is_due(
    api: Api, bucket: ObjectSettings, bucket_client: Any, objects: Blocking
) -> None:
    with connected(int(api.url.rpartition(":")[2])) as wire:
        wire.start(api.key, f"Content-Type: {MULTIPART}", "Transfer-Encoding: chunked")
        wire.chunk(part("file", b"a picture", filename="a.png", content_type="image/png") + part_head("job"))
        (left,) = until(lambda: stored(bucket_client, bucket, api))
        assert api.process is not None
        api.process.kill()
        api.process.wait()
    assert remove_objects(api.database, objects) == 0  # an upload may take its time
    assert stored(bucket_client, bucket, api) == [left]
    with api.database.platform() as tx:
        assert tx.sql("UPDATE removals SET due_at = now()").rowcount == 1
    assert remove_objects(api.database, objects) == 1
    assert stored(bucket_client, bucket, api) == []
    with api.database.platform_read() as tx:
        assert tx.sql("SELECT count(*) FROM removals").scalar_one() == 0
