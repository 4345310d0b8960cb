"""What a kind's function is given: the step's file, results of the steps it uses, ways to save and to report."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage import steps
from storage.keys import output_key
from storage.model import Claim, Json, Used
from tasks.errors import StepFailed
from tasks.process import Process


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """The file that a step works on, on local disk until the step ends."""

    path: Path
    filename: str
    content_type: str


class Work:
    """One attempt at a step. Use as a context manager: its local files live until the block ends."""

    def __init__(self, process: Process, claim: Claim) -> None:
        self.process = process
        self.claim = claim
        self._folder = tempfile.TemporaryDirectory(prefix="millrace-")

    def __enter__(self) -> "Work":
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    @property
    def used(self) -> Sequence[Used]:
        """The finished steps named in `use`, with their results."""
        return self.claim.uses

    def fetch(self) -> Source:
        """Bring the step's file here: the largest output of the step it uses, or the job's input.

        Raises StepFailed if there is none, ObjectMissing or ObjectStoreUnavailable.
        """
        path = Path(self._folder.name) / "source"
        if self.used:
            found = max(self._outputs(), key=lambda output: output.get("bytes", 0), default=None)
            if found is None:
                raise StepFailed("no_file", "the step that this one uses has no outputs to work on")
            used = next(used for used in self.used if found in used.result["outputs"])
            key = output_key(self.claim.tenant_id, self.claim.job_id, used.step_id, found["name"])
            source = Source(path=path, filename=found["name"], content_type=found["content_type"])
        elif self.claim.input is not None:
            key = self.claim.input.key
            source = Source(path=path, filename=self.claim.input.filename, content_type=self.claim.input.content_type)
        else:
            raise StepFailed("no_file", "this step works on a file, and the job has none")
        self.process.objects.download(key, path)
        return source

    def save(self, name: str, data: bytes | Path, *, content_type: str, **facts: Any) -> dict[str, Any]:
        """Write an output of this step and return its record for the result: name, bytes, content_type and `facts`.

        The same name is the same object: doing the step again overwrites it.
        """
        key = output_key(self.claim.tenant_id, self.claim.job_id, self.claim.step_id, name)
        stored = self.process.objects.upload(key, data, content_type=content_type)
        return {"name": name, **facts, "bytes": stored.size, "content_type": content_type}

    def progress(self, fraction: float, data: Mapping[str, Json] | None = None) -> None:
        """Tell those who watch how far the step is, 0..1. Raises LeaseLost: then stop, another worker has the step."""
        with self.process.database.begin(self.claim.tenant_id) as tx:
            steps.report(tx, self.claim, fraction, dict(data or {}))

    def _outputs(self) -> list[dict[str, Any]]:
        results = [used.result for used in self.used if isinstance(used.result, dict)]
        return [output for result in results for output in result.get("outputs", [])]
