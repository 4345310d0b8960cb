"""A job's document once it has been checked: what tasks.submit writes. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from storage.image_model import UploadId
from storage.model import Notify, StopWhen
from storage.unique_model import Unique
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
    """A checked document, ready for tasks.submit.

    `fetches_input`: a step of it brings the job's file from a URL; `upload`: the job's file is this upload.
    `template` is the reference of the template, with its version, that its steps come from.
    """

    steps: tuple[StepSpec, ...]
    priority: Priority
    metadata: Mapping[str, Any]
    deadline_seconds: float | None = None
    unique: Unique | None = None
    notify: Notify | None = None
    fetches_input: bool = False
    upload: UploadId | None = None
    template: str | None = None

    @property
    def file_step(self) -> str | None:
        """The first step that works on a file of the job's own which the document does not name, or None."""
        if self.upload is not None:
            return None
        return next((step.name for step in self.steps if step.kind.needs_file and step.file_from is None), None)

    @property
    def shares_results(self) -> bool:
        """Whether a step makes of the job's own file what other jobs may have made of the same bytes."""
        return any(step.kind.is_shared and step.file_from is None for step in self.steps)

    @property
    def uploads(self) -> Mapping[str, frozenset[UploadId]]:
        """The uploads that the document names, by the pointer of the place; without places that name none."""
        named = {
            f"/steps/{escape(step.name)}": frozenset(map(UploadId, step.kind.uploads(step.checked)))
            for step in self.steps
        }
        own = frozenset() if self.upload is None else frozenset({self.upload})
        return {place: ids for place, ids in {"/input/upload": own, **named}.items() if ids}


def check_needs_no_file(spec: JobSpec) -> None:
    """Raise InvalidDocument if a step works on the job's own file, and the document names none."""
    if spec.file_step is not None:
        detail = (
            "this step works on a file: send one as multipart/form-data (fields 'file' and 'job'), or say where to "
            'fetch it: {"input": {"url": "https://…"}}, or which upload it is: {"input": {"upload": "upl_…"}}'
        )
        raise InvalidDocument([Flaw(pointer=f"/steps/{escape(spec.file_step)}", detail=detail)])
