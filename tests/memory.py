"""A folder in memory, where there is room: databases that come and go with every test wear a disk's folders out."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deploy.local import home as homes
from deploy.local.errors import AlreadyRunning

MEMORY = Path("/dev/shm")
ROOM_BYTES = 4 * 1024**3
OLD_SECONDS = 3600.0
PREFIX = "millrace-tests-"


@contextmanager
def folder(otherwise: Path) -> Iterator[Path]:
    """An empty folder in memory while the body runs, or `otherwise` where there is no room for one."""
    if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < ROOM_BYTES:
        yield otherwise
        return
    for left in MEMORY.glob(f"{PREFIX}*"):
        _clear_away(left)
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=MEMORY, ignore_cleanup_errors=True) as name:
        yield Path(name)


def _clear_away(left: Path) -> None:
    """Free the memory of a run that was killed, and stop its servers; what is young may be about to be used."""
    with suppress(OSError, AlreadyRunning):
        if time.time() - left.stat().st_mtime > OLD_SECONDS:
            with homes.held(left):
                shutil.rmtree(left, ignore_errors=True)
