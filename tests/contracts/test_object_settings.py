"""What the environment says about objects."""

import pytest

from storage.errors import ConfigurationError
from storage.objects.memory import MemoryObjects
from storage.objects.settings import from_env
from storage.objects.stores import open_objects

AWS = {"STORAGE_URL": "s3://photos", "AWS_REGION": "eu-central-1"}
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "s3cr3t", "AWS_SESSION_TOKEN": "t0ken"}


def test_aws_needs_a_bucket_and_a_region_only() -> None:
    settings = from_env(AWS)
    assert (settings.bucket, settings.region, settings.endpoint) == ("photos", "eu-central-1", None)
    assert (settings.access_key, settings.path_style, settings.allow_http, settings.sign_payload) == (
        None,
        False,
        False,
        False,
    )


def test_secrets_are_not_shown() -> None:
    settings = from_env(AWS | KEYS)
    assert (settings.access_key, settings.secret_key, settings.session_token) == ("key", "s3cr3t", "t0ken")
    assert "s3cr3t" not in repr(settings)
    assert "t0ken" not in repr(settings)


@pytest.mark.parametrize(
    ("endpoint", "allow_http", "sign_payload"),
    [
        ("https://s3.example.com", False, False),
        ("http://127.0.0.1:8333", True, False),
        ("http://localhost:8333/", True, False),
        ("http://[::1]:8333", True, False),
        ("http://minio:9000", True, True),
        ("http://10.0.0.1:9000", True, True),
    ],
)
def test_payloads_are_signed_where_the_wire_can_be_tampered_with(
    endpoint: str, allow_http: bool, sign_payload: bool
) -> None:
    settings = from_env({"STORAGE_URL": "s3://b", "AWS_ENDPOINT_URL_S3": endpoint})
    assert (settings.allow_http, settings.sign_payload, settings.path_style) == (allow_http, sign_payload, True)
    assert settings.endpoint == endpoint.rstrip("/")


def test_memory_is_for_tests() -> None:
    assert isinstance(open_objects(from_env({"STORAGE_URL": "memory://"})), MemoryObjects)


@pytest.mark.parametrize(
    ("env", "named"),
    [
        ({}, "STORAGE_URL"),
        ({"STORAGE_URL": "  "}, "STORAGE_URL"),
        ({"STORAGE_URL": "photos"}, "STORAGE_URL"),
        ({"STORAGE_URL": "s3://"}, "STORAGE_URL"),
        ({"STORAGE_URL": "s3://photos/folder"}, "STORAGE_URL"),
        ({"STORAGE_URL": "s3://[broken"}, "STORAGE_URL"),
        ({"STORAGE_URL": "ftp://photos"}, "STORAGE_URL"),
        ({"STORAGE_URL": "s3://photos"}, "AWS_REGION"),
        (AWS | {"AWS_ACCESS_KEY_ID": "key"}, "AWS_SECRET_ACCESS_KEY"),
        (AWS | {"AWS_SECRET_ACCESS_KEY": "s3cr3t"}, "AWS_ACCESS_KEY_ID"),
        (AWS | {"AWS_ENDPOINT_URL_S3": "127.0.0.1:8333"}, "AWS_ENDPOINT_URL_S3"),
        (AWS | {"AWS_ENDPOINT_URL": "ftp://127.0.0.1"}, "AWS_ENDPOINT_URL"),
    ],
)
def test_a_bad_value_names_its_variable_in_one_line(env: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named) as raised:
        from_env(env)
    assert "\n" not in str(raised.value)
    assert "s3cr3t" not in str(raised.value)
