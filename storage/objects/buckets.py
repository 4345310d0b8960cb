"""The bucket itself: made, and governed as far as the server can, through boto3. Blocking; call it at a start."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from storage.objects.boto import s3_client
from storage.objects.settings import ObjectSettings
from storage.objects.uploads import unavailable

logger = logging.getLogger(__name__)

ABORT_AFTER_DAYS = 1
RULE_ID = "abort-incomplete-uploads"
OURS_ALREADY = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")
CANNOT = ("NotImplemented", "MethodNotAllowed", "UnsupportedOperation", "AccessDenied")


def ensure_bucket(settings: ObjectSettings, *, allowed_origins: Sequence[str] = ()) -> None:
    """Create the bucket if it is absent and set its rules; doing it again changes nothing.

    Rules: uploads left incomplete are removed after a day; pages of `allowed_origins` (scheme and host, default none)
    may use signed URLs; nothing is public. A rule that the server does not know, or that our key may not set, is
    logged and skipped. Raises ObjectStoreUnavailable if the bucket cannot be reached or made. Memory needs no bucket.
    """
    if settings.bucket is None:
        return
    client = s3_client(settings)
    try:
        _create(client, settings)
        _try_to("lifecycle", lambda: _set_lifecycle(client, settings.bucket))
        _try_to("cors", lambda: _set_cors(client, settings.bucket, allowed_origins))
        _try_to("block_public_access", lambda: _block_public_access(client, settings.bucket))
    except (BotoCoreError, ClientError) as exc:
        raise unavailable(exc, settings.bucket) from exc
    finally:
        client.close()


def _create(client: Any, settings: ObjectSettings) -> None:
    try:
        client.head_bucket(Bucket=settings.bucket)
    except ClientError as exc:
        if _code(exc) not in ("404", "NoSuchBucket", "NotFound"):
            raise
    else:
        return
    where = {}
    if settings.endpoint is None and settings.region != "us-east-1":  # AWS wants it named, but for this one region
        where = {"CreateBucketConfiguration": {"LocationConstraint": settings.region}}
    try:
        client.create_bucket(Bucket=settings.bucket, **where)
    except ClientError as exc:
        if _code(exc) not in OURS_ALREADY:  # another process was faster
            raise
        client.head_bucket(Bucket=settings.bucket)  # refuses us if it is somebody else's
    logger.info("object_bucket_created bucket=%s", settings.bucket)


def _try_to(rule: str, act: Callable[[], None]) -> None:
    try:
        act()
    except ClientError as exc:
        if _code(exc) not in CANNOT:
            raise
        logger.warning("object_bucket_rule_skipped rule=%s reason=%s", rule, _code(exc))


def _set_lifecycle(client: Any, bucket: str | None) -> None:
    ours = {
        "ID": RULE_ID,
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": ABORT_AFTER_DAYS},
    }
    rules = _lifecycle(client, bucket)
    others = [rule for rule in rules if rule.get("ID") != RULE_ID]  # a put replaces all: keep what operators added
    client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [*others, ours]})


def _lifecycle(client: Any, bucket: str | None) -> list[dict[str, Any]]:
    try:
        return list(client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"])
    except ClientError as exc:
        if _code(exc) != "NoSuchLifecycleConfiguration":
            raise
        return []


def _set_cors(client: Any, bucket: str | None, origins: Sequence[str]) -> None:
    if not origins:
        client.delete_bucket_cors(Bucket=bucket)
        return
    rule = {
        "AllowedOrigins": list(origins),
        "AllowedMethods": ["GET", "HEAD", "PUT"],
        "AllowedHeaders": ["*"],
        "ExposeHeaders": ["ETag", "Content-Length", "Content-Type"],
        "MaxAgeSeconds": 3600,
    }
    client.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})


def _block_public_access(client: Any, bucket: str | None) -> None:
    everything = dict.fromkeys(
        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
    )
    client.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=everything)


def _code(exc: ClientError) -> str:
    return str(exc.response.get("Error", {}).get("Code", ""))
