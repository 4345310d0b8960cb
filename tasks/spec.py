"""A job's document once it has been checked: what tasks.submit writes. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from storage.model import Notify, StopWhen, Unique
from tasks.errors import Flaw, InvalidDocument
from tasks.names import Kind, Priority
from tasks.values import escape


@dataclass(frozen=True, kw_only=True, slots=True)
class StepSpec:
    """A checked step: `params` as they were given, `checked` as their model; `use` names steps of the same job.

    `file_from` is the one of them whose output it works on; None: the job's own file.
    """

    name: str
    kind: Kind
    params: Mapping[str, Any]
    checked: BaseModel
    use: tuple[str, ...]
    file_from: str | None = None
    stop_when: StopWhen | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class JobSpec:
    """A checked document, ready for tasks.submit. `fetches_input`: a step of it brings the job's file from a URL."""

    steps: tuple[StepSpec, ...]
    priority: Priority
    metadata: Mapping[str, Any]
    deadline_seconds: float | None = None
    unique: Unique | None = None
    notify: Notify | None = None
    fetches_input: bool = False

    @property
    def file_step(self) -> str | None:
        """The first step that works on the job's input itself, or None."""
        return next((step.name for step in self.steps if step.kind.needs_file and step.file_from is None), None)


def check_needs_no_file(spec: JobSpec) -> None:
    """Raise InvalidDocument if a step works on the job's own file."""
    if spec.file_step is not None:
        detail = (
            "this step works on a file: send one as multipart/form-data (fields 'file' and 'job'), or say where to "
            'fetch it: {"input": {"url": "https://…"}}'
        )
        raise InvalidDocument([Flaw(pointer=f"/steps/{escape(spec.file_step)}", detail=detail)])
