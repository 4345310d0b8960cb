"""The uploads that documents name, looked up in the transaction that writes their jobs."""

from collections.abc import Iterator, Mapping

from storage import uploads
from storage.database import Tx
from storage.image_model import Upload, UploadId
from storage.model import JobInput
from tasks.errors import Flaw, InvalidDocument
from tasks.spec import JobSpec


def input_of(tx: Tx, spec: JobSpec) -> JobInput | None:
    """The job's file, if that is an upload; None if it is none.

    Raises InvalidDocument for every upload that the document names and the tenant does not have (any more).
    """
    named = spec.uploads
    if not named:
        return None
    found = uploads.find_all(tx, sorted(frozenset[UploadId]().union(*named.values())))
    if flaws := list(_flaws(named, found)):
        raise InvalidDocument(flaws)
    if spec.upload is None:
        return None
    given = found[spec.upload]
    return JobInput(
        key=given.key,
        filename=given.filename,
        content_type=given.content_type,
        bytes=given.bytes,
        sha256=given.sha256,
    )


def _flaws(named: Mapping[str, frozenset[UploadId]], found: Mapping[UploadId, Upload]) -> Iterator[Flaw]:
    for place, ids in named.items():
        for missing in sorted(ids - found.keys()):
            yield Flaw(pointer=place, detail=f"there is no upload {missing!r}, or not any more")
