"""What the terminal shows of a platform: where it answers, and what of it lives."""

from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from deploy.local import home as homes
from deploy.local.stack import Running, find_running


def banner(running: Running, home: Path) -> None:
    """Print the addresses, the key and a first command to try."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("API docs", f"{running.api}/docs")
    table.add_row("Flower", running.flower)
    table.add_row("S3", running.urls["s3"])
    table.add_row("API key", running.key)
    table.add_row("Logs", str(home / "log"))
    console = Console(highlight=False)
    console.print("\nMillrace is ready.\n", style="bold green")
    console.print(table)
    # Plain print: rich would break the line in two, and it is there to be copied.
    print(f"\nTry, in another terminal:\n  export API={running.api} KEY={running.key}")
    print('  curl "$API/v1/jobs?template=thumbnails" -H "Authorization: Bearer $KEY" \\')
    print("       -H 'Content-Type: image/jpeg' --data-binary @photo.jpg")
    print("\nCtrl-C stops everything.", flush=True)


def status(home: Path) -> bool:
    """Print which processes live; return whether all of a ready platform do."""
    found, holder = find_running(home), homes.holder(home)
    if found is None:
        if holder is not None:
            print(f"Process {holder} is starting or stopping the platform here.")
        elif left := homes.leftovers(home):
            print(f"Nothing runs here, but a killed run has left: {', '.join(left)}. `make down` stops it.")
        else:
            print("Nothing runs here.")
        return False
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("part", "process", "state", "MB"):
        table.add_column(title, justify="right" if title in {"process", "MB"} else "left")
    sizes = {name: _megabytes(pid) for name, pid in sorted(found.processes.items())}
    for name, size in sizes.items():
        state = "[red]gone[/]" if size is None else "runs"
        table.add_row(name, str(found.processes[name]), state, "" if size is None else f"{size:.0f}")
    console = Console(highlight=False)
    console.print(table)
    console.print(f"\nAPI {found.api}   Flower {found.flower}   (launcher: process {holder})", soft_wrap=True)
    return None not in sizes.values()


def _megabytes(pid: int) -> float | None:
    """Return the memory of a process and those below it, in MB; None when it is gone."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        family = [process, *process.children(recursive=True)]
        return sum(one.memory_info().rss for one in family) / 1_000_000
    except psutil.Error:
        return None
