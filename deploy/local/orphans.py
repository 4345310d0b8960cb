"""Ends processes that are not our children: they can be asked and watched, but not waited for."""

import contextlib
import time
from collections.abc import Collection, Iterable

import psutil


def end(processes: Iterable[psutil.Process], patience: float) -> None:
    """Ask these to stop, kill those that live on after `patience` seconds (0: kill at once), wait until all are gone.

    psutil compares start times again before each signal, so that a number that was given away is safe.
    """
    left = list(processes)
    if patience > 0:
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.terminate()
        left = wait_gone(left, patience)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    wait_gone(left, 5.0)


def lives(process: psutil.Process) -> bool:
    """Tell whether a process runs; one that has ended, but whose parent never asked for its status, does not.

    With its first thread ended and others still on their way out it does: it may still listen on its ports.
    """
    try:
        if process.is_running():
            return process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1
        return False
    except psutil.Error:
        return False


def wait_gone(processes: Collection[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until none of these lives, at most so long; returns those that still do."""
    deadline = time.monotonic() + seconds
    # In slices, to see the zombies: in a container whose first process collects nobody they never go.
    while (left := [process for process in processes if lives(process)]) and time.monotonic() < deadline:
        psutil.wait_procs(left, timeout=0.1)
    return left
