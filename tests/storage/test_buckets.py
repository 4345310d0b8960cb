"""The bucket and its rules, on the real S3 server."""

import logging
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from storage.errors import ObjectStoreUnavailable
from storage.objects.boto import s3_client
from storage.objects.buckets import RULE_ID, ensure_bucket
from storage.objects.settings import ObjectSettings, from_env

ORIGIN = "https://app.example.com"


@pytest.fixture
def settings(s3_env: Mapping[str, str]) -> ObjectSettings:
    """A bucket of this test's own, which is not there yet."""
    return replace(from_env(s3_env), bucket=f"test-{uuid.uuid4().hex}")


@pytest.fixture
def client(settings: ObjectSettings) -> Iterator[Any]:
    client = s3_client(settings)
    yield client
    client.close()


def rules(client: Any, settings: ObjectSettings) -> list[dict[str, Any]]:
    return list(client.get_bucket_lifecycle_configuration(Bucket=settings.bucket)["Rules"])


def test_the_bucket_is_made_with_its_rules(settings: ObjectSettings, client: Any) -> None:
    ensure_bucket(settings, allowed_origins=[ORIGIN])
    [rule] = rules(client, settings)
    assert (rule["ID"], rule["Status"]) == (RULE_ID, "Enabled")
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    [cors] = client.get_bucket_cors(Bucket=settings.bucket)["CORSRules"]
    assert cors["AllowedOrigins"] == [ORIGIN]


def test_doing_it_again_changes_nothing_and_keeps_objects(settings: ObjectSettings, client: Any) -> None:
    ensure_bucket(settings, allowed_origins=[ORIGIN])
    client.put_object(Bucket=settings.bucket, Key="a", Body=b"1")
    before = rules(client, settings)
    ensure_bucket(settings, allowed_origins=[ORIGIN])
    assert rules(client, settings) == before
    assert client.get_object(Bucket=settings.bucket, Key="a")["Body"].read() == b"1"


def test_rules_of_the_operators_stay(settings: ObjectSettings, client: Any) -> None:
    theirs = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 7}}
    client.create_bucket(Bucket=settings.bucket)
    client.put_bucket_lifecycle_configuration(Bucket=settings.bucket, LifecycleConfiguration={"Rules": [theirs]})
    ensure_bucket(settings)
    assert sorted(rule["ID"] for rule in rules(client, settings)) == [RULE_ID, "theirs"]


def test_without_origins_no_page_may_use_it(settings: ObjectSettings, client: Any) -> None:
    ensure_bucket(settings, allowed_origins=[ORIGIN])
    ensure_bucket(settings)
    with pytest.raises(client.exceptions.ClientError, match="CORS"):
        client.get_bucket_cors(Bucket=settings.bucket)


def test_a_rule_that_the_server_does_not_know_is_logged(
    settings: ObjectSettings, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="storage.objects.buckets"):
        ensure_bucket(settings)
    assert "object_bucket_rule_skipped rule=block_public_access reason=NotImplemented" in caplog.text


def test_memory_needs_no_bucket() -> None:
    ensure_bucket(ObjectSettings(bucket=None))


@pytest.mark.parametrize("wrong", [{"secret_key": "wrong"}, {"endpoint": "http://127.0.0.1:1"}])
def test_a_server_that_refuses_or_is_away_is_told(settings: ObjectSettings, wrong: dict[str, str]) -> None:
    with pytest.raises(ObjectStoreUnavailable):
        ensure_bucket(replace(settings, **wrong))  # type: ignore[arg-type] # both fields are strings
