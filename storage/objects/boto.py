"""The boto3 client: for buckets, signatures and the uploads that obstore cannot do; bytes otherwise go by obstore."""

from typing import Any

import boto3.session
from botocore.config import Config

from storage.objects.settings import ObjectSettings


def s3_client(settings: ObjectSettings) -> Any:
    """Make a boto3 client, which threads may share; takes about 100 ms, so make one and keep it.

    It has its own session, since boto3's default one is not safe to use from threads.
    """
    session = boto3.session.Session(
        aws_access_key_id=settings.access_key,
        aws_secret_access_key=settings.secret_key,
        aws_session_token=settings.session_token,
        region_name=settings.region,
    )
    patience = settings.patience
    config = Config(
        signature_version="s3v4",
        connect_timeout=patience.connect,
        read_timeout=patience.part,
        retries={"mode": "standard", "total_max_attempts": 3},
        max_pool_connections=16,
        s3={
            "addressing_style": "path" if settings.path_style else "virtual",
            "payload_signing_enabled": settings.sign_payload,
        },
        # Checksums on top of TLS cost more CPU than all the rest, and servers other than AWS refuse some of them.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return session.client("s3", endpoint_url=settings.endpoint, config=config)
