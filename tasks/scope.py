"""What the expressions of a step may speak of. Pure."""

from collections.abc import Sequence

from storage.model import Json, StepId, Used


def scope_of(used: Sequence[Used], job: Json, *, step: StepId, name: str, attempt: int) -> dict[str, Json]:
    """Roots and their values: results of the steps used, the job's facts (storage.jobs.facts), the step itself."""
    return {
        "steps": {one.name: one.result for one in used},
        "job": job,
        "step": {"id": step, "name": name, "attempt": attempt},
    }
