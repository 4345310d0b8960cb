"""A stack of parts for as long as a block of code runs."""

import contextlib
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from deploy.local import home as homes
from deploy.local.interrupt import HURRY
from deploy.local.part import Part
from deploy.local.supervisor import Pace, Say, Supervisor


@contextlib.contextmanager
def running(
    home: Path,
    parts: Collection[Part],
    *,
    say: Say,
    changed: Callable[[Mapping[str, int]], None] | None = None,
    hurry: threading.Event = HURRY,
    pace: Pace | None = None,
) -> Iterator[Supervisor]:
    """Run parts while the body runs: all ready when it begins, nothing left after it.

    The home must be held (`home.held`). `changed` is given name → pid whenever a process came or went. Setting
    `hurry` while they stop has them killed at once. Raises PartFailed when one does not get ready.
    """

    def note(processes: Mapping[str, int]) -> None:
        homes.remember(home, processes)
        if changed is not None:
            changed(processes)

    supervisor = Supervisor(parts, say=say, changed=note, marks={homes.MARK: str(home)}, pace=pace)
    try:
        supervisor.start()
        supervisor.wait_ready()
        yield supervisor
    finally:
        _stop(supervisor, hurry)
        homes.stop_leftovers(home, patience=0)  # a grandchild that left its group, if there was one


def _stop(supervisor: Supervisor, hurry: threading.Event) -> None:
    while True:
        try:
            return supervisor.stop(hurry)
        except KeyboardInterrupt:  # a second Ctrl-C where nobody has caught it as a signal
            hurry.set()
