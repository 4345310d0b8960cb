"""How much memory the work in a child process may take: the kernel refuses more, and nobody else pays for it."""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MIB = 1024 * 1024
_STATUS = Path("/proc/self/status")


@contextmanager
def memory_limited(mib: int) -> Iterator[None]:
    """Let this process's private memory grow by at most `mib` in the block; beyond it allocations fail (MemoryError).

    The limit is RLIMIT_DATA, which counts private writable pages (setrlimit(2)); Linux only, elsewhere nothing happens.
    """
    if not sys.platform.startswith("linux"):
        yield
        return
    before, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = _data_bytes() + mib * MIB
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, hard))


def _data_bytes() -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmData:"))
    return int(line.split()[1]) * 1024
