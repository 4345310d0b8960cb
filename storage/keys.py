"""Where a job's objects stand: all of a job under one prefix, outputs by step and attempt.

The attempt in the key is the fence of the bytes: a worker that lost its step cannot touch what its successor wrote.
"""

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
