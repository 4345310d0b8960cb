"""How much memory the work in a child process may take: the kernel refuses more, and nobody else pays for it."""

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager

MIB = 1024 * 1024


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
    file = os.open("/proc/self/statm", os.O_RDONLY)
    try:
        return int(os.read(file, 200).split()[5]) * resource.getpagesize()
    finally:
        os.close(file)
