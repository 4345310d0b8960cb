"""CPU time and memory of the platform's processes, read from outside."""

from collections.abc import Mapping
from pathlib import Path

import psutil

from deploy.local.stack import Running


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
        family = [process, *process.children(recursive=True)]
        times = [one.cpu_times() for one in family]
        gone = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return sum(one.user + one.system for one in times) + gone.children_user + gone.children_system
