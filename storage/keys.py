"""Where objects stand: all of a job under one prefix, outputs by step and attempt; uploads and renditions beside them.

The attempt in the key is the fence of the bytes: a worker that lost its step cannot touch what its successor wrote.
Renditions need none: whoever writes one writes the same bytes.
"""

from collections.abc import Mapping
from typing import Any

from storage.image_model import Digest, UploadId, is_digest
from storage.model import JobId, StepId, TenantId


def job_prefix(tenant_id: TenantId, job_id: JobId) -> str:
    return f"{tenant_id}/{job_id}/"


def input_key(tenant_id: TenantId, job_id: JobId) -> str:
    return f"{job_prefix(tenant_id, job_id)}input"


def outputs_prefix(tenant_id: TenantId, job_id: JobId) -> str:
    return f"{job_prefix(tenant_id, job_id)}outputs/"


def attempt_prefix(tenant_id: TenantId, job_id: JobId, step_id: StepId, attempt: int) -> str:
    return f"{outputs_prefix(tenant_id, job_id)}{step_id}/{attempt}/"


def output_key(tenant_id: TenantId, job_id: JobId, step_id: StepId, attempt: int, name: str) -> str:
    return f"{attempt_prefix(tenant_id, job_id, step_id, attempt)}{name}"


def key_of_output(tenant_id: TenantId, job_id: JobId, step_id: StepId, attempt: int, output: Mapping[str, Any]) -> str:
    """The key of an output by its record in a step's result: a rendition's, or one of the attempt's own.

    Results are data, whatever kind wrote them: what is no digest leads nowhere but to the job's own objects.
    """
    digest = output.get("rendition")
    if is_digest(digest):
        return rendition_key(tenant_id, digest)
    return output_key(tenant_id, job_id, step_id, attempt, output["name"])


def upload_key(tenant_id: TenantId, upload_id: UploadId) -> str:
    return f"{tenant_id}/uploads/{upload_id}"


def rendition_key(tenant_id: TenantId, digest: Digest) -> str:
    return f"{tenant_id}/renditions/{digest[:2]}/{digest}"
