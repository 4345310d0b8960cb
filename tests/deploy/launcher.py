"""`python -m tests.deploy.launcher HOME WHAT`: a launcher in a process of its own, for tests to kill.

WHAT is `standins`, or the names of servers with commas. Prints one line of JSON when all is ready.
"""

import json
import sys
import threading
from pathlib import Path

from deploy.local import home as homes
from deploy.local.interrupt import interruptible
from deploy.local.running import running
from deploy.local.servers import embedded_servers
from tests.deploy.standins import FAMILY, STUBBORN, WAITS, program


def quiet(_line: str) -> None:
    """Say nothing: standard output is for the JSON."""


def tell(content: object) -> None:
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


def run_standins(home: Path) -> None:
    parts = [
        program(home, "plain", WAITS),
        program(home, "stubborn", STUBBORN, grace_seconds=0.2),
        program(home, "family", FAMILY, grace_seconds=0.2),
    ]
    with homes.held(home), running(home, parts, say=quiet):
        tell(json.loads((home / "processes.json").read_text()))
        threading.Event().wait()


def run_servers(home: Path, which: list[str]) -> None:
    with embedded_servers(home, which, durable=True) as urls:
        tell(dict(urls.env))
        threading.Event().wait()


if __name__ == "__main__":
    folder, what = Path(sys.argv[1]), sys.argv[2]
    try:
        with interruptible():
            if what == "standins":
                run_standins(folder)
            else:
                run_servers(folder, what.split(","))
    except KeyboardInterrupt:
        tell("stopped")
