"""What a kind's function is given: the step's file, results of the steps it uses, ways to save and to report."""

import hashlib
import logging
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage import renditions, steps, uploads
from storage.database import Tx
from storage.errors import DatabaseUnavailable, LeaseLost, ObjectExists, ObjectMissing, StorageError
from storage.image_model import Digest, Facts, Rendition, UploadId, is_digest
from storage.keys import attempt_prefix, key_of_output, output_key, rendition_key, upload_key
from storage.model import Claim, Json, Used
from tasks.errors import StepFailed
from tasks.passage import Passage
from tasks.process import Process
from tasks.renditions import record
from tasks.values import storable

log = logging.getLogger(__name__)

Addition = Callable[[Tx], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A file that a step works on or with, on local disk until the step ends; `sha256` where it is known already."""

    path: Path
    filename: str
    content_type: str
    sha256: str | None = None


class Work:
    """One attempt at a step. Use as a context manager: its local files live until the block ends."""

    def __init__(
        self, process: Process, claim: Claim, additions: list[Addition], passage: Passage | None = None
    ) -> None:
        self.process = process
        self.claim = claim
        self.passage = passage or Passage()
        self._additions = additions  # the caller's, who writes them
        self._has_saved = False
        self._made: dict[Digest, Facts] = {}  # renditions of which the rows do not say yet that they are there
        self._told = time.monotonic()
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> "Work":
        return self

    def __exit__(self, raised: type[BaseException] | None, *_: object) -> None:
        if self._folder is not None:
            self._folder.cleanup()
        if self._made and raised is None:
            self.on_success(self._finish_with_the_end)
        elif self._made:
            self._finish_at_once()
        if raised is not None and self._has_saved:
            self._take_back()

    @property
    def used(self) -> Sequence[Used]:
        """The finished steps named in `use`, with their results."""
        return self.claim.uses

    @property
    def kept(self) -> Json:
        """What earlier attempts at this step have done of it: the `result` of a StepIncomplete; None if nothing."""
        return self.claim.kept

    def fetch(self, *, max_bytes: int | None = None) -> Source:
        """Bring the step's file here: the largest output of the step it uses, or the job's input.

        Raises StepFailed if there is none or it is larger than `max_bytes`, ObjectMissing, ObjectStoreUnavailable.
        """
        key, size, source = self._source()
        if max_bytes is not None and size > max_bytes:
            raise StepFailed(
                "file_too_large", f"the file has {size} bytes; this kind of step takes at most {max_bytes}"
            )
        self._download(key, source.path)
        return source

    @property
    def folder(self) -> Path:
        """A folder on local disk of this attempt's own, which goes when the step ends."""
        if self._folder is None:
            self.process.scratch.mkdir(mode=0o700, exist_ok=True)
            self._folder = tempfile.TemporaryDirectory(prefix=f"{self.claim.step_id}-", dir=self.process.scratch)
        return Path(self._folder.name)

    def fetch_output(self, step: str, name: str | None) -> Source:
        """Bring an output of a step that this one uses here: the one of that name, or the largest.

        Raises StepFailed if there is none, ObjectMissing, ObjectStoreUnavailable.
        """
        key, _, source = self._of_output(*self._output(step, name))
        self._download(key, source.path)
        return source

    def fetch_upload(self, upload_id: str) -> Source:
        """Bring one of the tenant's uploads here. Raises ObjectMissing, also if it was deleted or has expired;
        ObjectStoreUnavailable, DatabaseUnavailable.
        """
        with self.process.database.read(self.claim.tenant_id) as tx:
            found = uploads.find(tx, UploadId(upload_id))
        if found is None:
            raise ObjectMissing(upload_key(self.claim.tenant_id, UploadId(upload_id)))
        path = self.folder / found.id
        self._download(found.key, path)
        return Source(path=path, filename=found.filename, content_type=found.content_type, sha256=found.sha256)

    def source_sha256(self, source: Source) -> str:
        """The SHA-256 of the file's bytes, in hexadecimal digits: as it is known, or taken now."""
        if source.sha256 is not None:
            return source.sha256
        with source.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def renditions(self, digests: Sequence[str]) -> Mapping[str, Rendition]:
        """Those of these renditions that are there already; the others are to be made, and saved by `save_rendition`.

        From now on all of them belong to the job. Raises LeaseLost, JobStopping, DatabaseUnavailable.
        """
        if not digests:
            return {}
        with self.process.database.begin(self.claim.tenant_id) as tx:
            steps.check(tx, self.claim)
            return renditions.begin(tx, self.claim.job_id, digests)

    def reuse(self, rendition: Rendition, name: str) -> dict[str, Json]:
        """Have a rendition that is there already as an output of this name; returns its record for the result."""
        return record(rendition, name)

    def save_rendition(
        self,
        digest: str,
        name: str,
        data: bytes | Path,
        *,
        content_type: str,
        width: int,
        height: int,
        frames: int,
        engine: str,
    ) -> dict[str, Json]:
        """Write a rendition that `renditions` has said is to be made; returns its record for the result.

        It stays whatever becomes of this attempt: the next one finds it. That it is there is written with the progress
        that is told next, or with the end. Raises ObjectStoreUnavailable.
        """
        if not is_digest(digest):
            raise ValueError(f"a rendition has 64 hexadecimal digits: {digest!r}")
        key = rendition_key(self.claim.tenant_id, digest)
        try:
            stored = self.process.objects.upload(key, data, content_type=content_type, only_if_absent=True)
        except ObjectExists:  # another's: as good, but maybe of other bytes, where it was made beside other variants
            stored = self.process.objects.head(key)
        facts = Facts(
            width=width, height=height, frames=frames, bytes=stored.size, content_type=content_type, engine=engine
        )
        self._made[digest] = facts
        return record(Rendition(digest=digest, key=key, facts=facts), name)

    def save(self, name: str, data: bytes | Path, *, content_type: str, **facts: Any) -> dict[str, Any]:
        """Write an output of this step and return its record for the result: name, bytes, content_type and `facts`.

        The object belongs to this attempt: if it does not succeed, the object goes.
        """
        claim = self.claim
        key = output_key(claim.tenant_id, claim.job_id, claim.step_id, claim.attempt, name)
        self._has_saved = True
        stored = self.process.objects.upload(key, data, content_type=content_type)
        return {"name": name, **facts, "bytes": stored.size, "content_type": content_type}

    def on_success(self, add: Addition) -> None:
        """Have something written in the transaction in which the step succeeds, if it does."""
        self._additions.append(add)

    def keep(self, result: Json) -> None:
        """Have the next attempt begin with this, should the process die before this one ends; None forgets it.

        A database that is away holds up nothing. Raises LeaseLost.
        """
        try:
            with self.process.database.begin(self.claim.tenant_id) as tx:
                steps.keep(tx, self.claim, storable(result))
        except DatabaseUnavailable as exc:
            log.warning("step.not_kept step=%s reason=%s", self.claim.step_id, exc)

    def progress(self, fraction: float, data: Mapping[str, Json] | None = None) -> None:
        """Tell those who watch how far the step is, 0..1, unless they were told just now; it is a checkpoint, too.

        A database that is away is told nothing and holds up nothing: what counts is the end of the step.
        """
        if time.monotonic() - self._told < self.process.settings.report_seconds:
            return
        self._told = time.monotonic()
        try:
            with self.process.database.begin(self.claim.tenant_id) as tx:
                steps.report(tx, self.claim, fraction, storable(dict(data or {})))
                is_ours = self._finish(tx)
        except DatabaseUnavailable as exc:
            log.warning("step.progress_untold step=%s reason=%s", self.claim.step_id, exc)
            return
        self._made.clear()
        if not is_ours:  # no rendition is given up whose job runs
            raise LeaseLost(f"{self.claim.step_id} attempt {self.claim.attempt}")

    def checkpoint(self) -> None:
        """Return if the work is still wanted; call it between the stages of long work, and let pass what it raises.

        Raises JobStopping (the job is being canceled, or is past its deadline) and LeaseLost (another worker has it).
        """
        try:
            with self.process.database.read(self.claim.tenant_id) as tx:
                steps.check(tx, self.claim)
        except DatabaseUnavailable as exc:
            log.warning("step.not_checked step=%s reason=%s", self.claim.step_id, exc)

    def _finish(self, tx: Tx) -> bool:
        """Note of what has been made that it is there, in the one order of locks; False if any was given up."""
        finished = [renditions.finish(tx, digest, facts) for digest, facts in sorted(self._made.items())]
        return all(finished)

    def _finish_with_the_end(self, tx: Tx) -> None:
        self._finish(tx)

    def _finish_at_once(self) -> None:
        """The same for the next attempt, since this one has failed."""
        try:
            with self.process.database.begin(self.claim.tenant_id) as tx:
                self._finish(tx)
        except DatabaseUnavailable as exc:
            log.warning("step.renditions_unfinished step=%s reason=%s", self.claim.step_id, exc)

    def _download(self, key: str, path: Path) -> None:
        """Bring an object here; a rendition that is missing is to be made anew by the next who wants it."""
        try:
            self.process.objects.download(key, path)
        except ObjectMissing:
            digest = key.rpartition("/")[2]
            if is_digest(digest) and key == rendition_key(self.claim.tenant_id, digest):
                self._note_missing(digest)
            raise

    def _note_missing(self, digest: Digest) -> None:
        try:
            with self.process.database.begin(self.claim.tenant_id) as tx:
                renditions.miss(tx, digest)
        except DatabaseUnavailable as exc:
            log.warning("step.missing_untold step=%s reason=%s", self.claim.step_id, exc)

    def _take_back(self) -> None:
        """Delete what this attempt has saved; if that cannot be done, it goes with its job."""
        claim = self.claim
        try:
            self.process.objects.delete_prefix(
                attempt_prefix(claim.tenant_id, claim.job_id, claim.step_id, claim.attempt)
            )
        except StorageError as exc:
            log.warning("step.outputs_left step=%s attempt=%s reason=%s", claim.step_id, claim.attempt, exc)

    def _source(self) -> tuple[str, int, Source]:
        if self.claim.file_from is not None:
            return self._of_output(*self._output(self.claim.file_from, None))
        given = self.claim.input
        if given is None:
            raise StepFailed("no_file", "this step works on a file, and the job has none")
        path = self.folder / "source"
        source = Source(path=path, filename=given.filename, content_type=given.content_type, sha256=given.sha256)
        return given.key, given.bytes, source

    def _of_output(self, used: Used, output: Mapping[str, Json]) -> tuple[str, int, Source]:
        claim = self.claim
        key = key_of_output(claim.tenant_id, claim.job_id, used.step_id, used.attempt, output)
        source = Source(path=self.folder / "source", filename=output["name"], content_type=output["content_type"])
        return key, output["bytes"], source

    def _output(self, of: str, name: str | None) -> tuple[Used, Mapping[str, Json]]:
        made = [
            (used, output)
            for used in self.used
            if used.name == of and isinstance(used.result, dict)
            for output in used.result.get("outputs", [])
            if name is None or output["name"] == name
        ]
        if not made:
            what = "outputs" if name is None else f"output {name!r}"
            raise StepFailed("no_file", f"the step {of!r} that this one uses has no {what} to work on")
        return max(made, key=lambda pair: pair[1]["bytes"])
