"""Where a job's objects stand: all of a job under one prefix, outputs by step, so that doing it again overwrites."""

from storage.model import JobId, StepId, TenantId


def job_prefix(tenant_id: TenantId, job_id: JobId) -> str:
    return f"{tenant_id}/{job_id}/"


def input_key(tenant_id: TenantId, job_id: JobId) -> str:
    return f"{job_prefix(tenant_id, job_id)}input"


def output_key(tenant_id: TenantId, job_id: JobId, step_id: StepId, name: str) -> str:
    return f"{job_prefix(tenant_id, job_id)}{step_id}/{name}"
