"""What a hint says: one step, or a group of small ones of one kind. Pure.

Alone: {"tenant", "job", "step"}; as a group: {"group": [[tenant, job, step], …]}.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from storage.model import JobId, StepId, TenantId
from storage.step_groups import Asked


def asked(group: Sequence[Sequence[str]]) -> list[Asked]:
    """The steps of a group."""
    return [(TenantId(tenant), JobId(job), StepId(step)) for tenant, job, step in group]


def steps_of(hint: Mapping[str, Any] | None) -> list[Asked]:
    """The steps that a hint is about; none of what is no hint of ours."""
    if not hint:
        return []
    if "group" in hint:
        return asked(hint["group"])
    if not {"tenant", "job", "step"} <= hint.keys():
        return []
    return [(TenantId(hint["tenant"]), JobId(hint["job"]), StepId(hint["step"]))]
