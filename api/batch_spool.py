"""What has been made of a batch while its body comes in: in memory while it is small, else in a file without a name."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from anyio import CapacityLimiter

from api.errors import RETRY_AFTER_SECONDS, Refused
from storage.batch_model import LineError
from storage.model import JobId
from tasks.batch import Draft

MEMORY_BYTES = 2_000_000  # of one batch; beyond that it is in files
ROOM_BYTES = 160_000_000  # of all batches that one process takes in at the same time
AT_ONCE = 2  # groups of lines that are looked at, and batches that are written, at the same time


class BatchRoom:
    """What the batches of one process share, so that many of them fill neither its disk nor its threads."""

    def __init__(self, most_bytes: int = ROOM_BYTES, at_once: int = AT_ONCE) -> None:
        self.turns = CapacityLimiter(at_once)
        self._left = most_bytes

    def take(self, size: int) -> None:
        """Raises Refused (503) where there is no room now."""
        if size > self._left:
            raise busy()
        self._left -= size

    def give_back(self, size: int) -> None:
        self._left += size


def busy() -> Refused:
    """What is told where no further batch can be taken in for now."""
    detail = "so many batches are being sent at the same time that there is no room for this one; try again soon"
    return Refused(503, "batches_busy", detail, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


@dataclass(kw_only=True, slots=True)
class BatchSpool:
    """The jobs that were drafted, a line of JSON behind its id each, and the lines that were refused."""

    drafts: IO[bytes]
    refused: IO[bytes]
    size: int = 0

    def keep(self, made: Sequence[Draft | LineError]) -> None:
        """Add these; close the spool when they are not needed any more."""
        drafts = b"".join(f"{one.job_id} {one.written}\n".encode() for one in made if isinstance(one, Draft))
        refused = b"".join(json.dumps(asdict(one)).encode() + b"\n" for one in made if isinstance(one, LineError))
        self.drafts.write(drafts)
        self.refused.write(refused)
        self.size += len(drafts) + len(refused)

    def written(self) -> Iterator[tuple[JobId, str]]:
        """The drafted jobs, from the first on."""
        self.drafts.seek(0)
        for line in self.drafts:
            job_id, _, written = line.decode().partition(" ")
            yield JobId(job_id), written

    def errors(self) -> Iterator[LineError]:
        """The refused lines, from the first on."""
        self.refused.seek(0)
        for line in self.refused:
            given = json.loads(line)
            yield LineError(**{**given, "flaws": tuple((pointer, detail) for pointer, detail in given["flaws"])})

    def close(self) -> None:
        self.drafts.close()
        self.refused.close()


def new_spool(folder: Path) -> BatchSpool:
    """An empty one, whose files will be in the folder."""
    drafts, refused = (
        tempfile.SpooledTemporaryFile(MEMORY_BYTES, dir=str(folder))  # noqa: SIM115 - `close` does
        for _ in range(2)
    )
    return BatchSpool(drafts=drafts, refused=refused)
