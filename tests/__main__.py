"""`python -m tests`: all tests, in five processes beside each other, with servers of their own. 0 if all pass.

Most tests wait for something most of the time: on two cores five processes take less time than two.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO

# The longest of all is tests/faults, and it waits most of the time: the others must not outlast it.
BESIDE = (
    ("tests/faults",),
    ("tests/e2e", "tests/page", "tests/tracing", "tests/webhooks", "tests/deploy"),
    (
        "tests/vision",
        "tests/tasks/vision",
        "tests/tasks/test_ai_worker.py",
        "tests/tasks/test_worker.py",
        "tests/tasks/test_worker_limits.py",
        "tests/scheduler/simulation",
        "tests/storage",
        "tests/contracts",
    ),
    ("tests/api",),
)
PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--durations=12")
# The hundreds of processes that tests start would each compile our code anew, where no bytecode may be written.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Tests that run beside others, and where what they say is kept."""

    paths: tuple[str, ...]
    process: "subprocess.Popen[bytes]"
    output: IO[bytes]


@contextmanager
def beside(paths: tuple[str, ...]) -> Iterator[Part]:
    """Run these tests while the block runs, and until they are done."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen([*PYTEST, *paths], stdout=output, stderr=subprocess.STDOUT, env=ENVIRONMENT)
        try:
            yield Part(paths=paths, process=process, output=output)
        finally:
            process.wait()  # the terminal has told all of them when it is interrupted


def main() -> int:
    """Show the others as they go, and then what became of those that ran beside them."""
    with ExitStack() as opened:
        parts = [opened.enter_context(beside(paths)) for paths in BESIDE]
        ignored = [f"--ignore={path}" for part in parts for path in part.paths]
        try:
            status = subprocess.run([*PYTEST, *ignored], check=False, env=ENVIRONMENT).returncode
        except KeyboardInterrupt:
            status = 130
        for part in parts:
            print(f"\nWhat ran beside these ({', '.join(part.paths)}):", flush=True)
            status = part.process.wait() or status
            part.output.seek(0)
            sys.stdout.buffer.write(part.output.read())
            sys.stdout.flush()
    return status


if __name__ == "__main__":
    sys.exit(main())
