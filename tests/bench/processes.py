"""CPU time and memory of the platform's processes, read from outside."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from deploy.local.stack import Running

TRIES = 100


def cpu_seconds(running: Running) -> dict[str, float]:
    """User and system time of each part with all its children, by the part's name; workers apart from the scaler."""
    found = {name: family_seconds(pid) for name, pid in running.processes.items()}
    found["scaler"] -= sum(seconds for name, seconds in found.items() if name.startswith("worker-"))
    return found


def spent(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    return {name: after[name] - before[name] for name in before if name in after}


def peak_mib(pid: int) -> float:
    """The highest resident size that the process has had (VmHWM), in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def forget_peak(pid: int) -> None:
    """Let the highest resident size count from now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def family_seconds(pid: int) -> float:
    """User and system time of a process and all below it, the dead ones included; 0 when it is gone."""
    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return 0.0
    for _ in range(TRIES):
        with suppress(psutil.NoSuchProcess):  # one ended in this moment: its time has gone over to its parent's
            children = process.children(recursive=True)
            times = [one.cpu_times() for one in (process, *children)]
            if process.children(recursive=True) == children:
                return sum(one.user + one.system + one.children_user + one.children_system for one in times)
        if not process.is_running():
            return 0.0
    raise AssertionError(f"the processes below {pid} change all the time")
