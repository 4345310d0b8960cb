"""How much memory the work in a child process may take: the kernel refuses more, and nobody else pays for it."""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MIB = 1024 * 1024
_STATM = Path("/proc/self/statm")


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
    """What counts now: the sixth number is data and stack, in pages (proc(5))."""
    return int(_STATM.read_text().split()[5]) * resource.getpagesize()
