"""A second worker of a pool, started by the test itself."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping

import psutil

from tasks.names import Queue
from tests.faults.stack import Stack
from tests.waiting import until


@contextlib.contextmanager
def another(
    stack: Stack, *, like: str = "worker-default", name: str = "second", queues: Collection[Queue] = (), **more: str
) -> Iterator[str]:
    """Run one more worker as the part `like`, with `more` in its environment; yields the name in its rows' `worker`.

    It serves the given queues, by default those of its model.
    """
    model = psutil.Process(stack.pid(like))
    command = model.cmdline()
    command[command.index("-n") + 1] = f"{name}@%h"
    if queues:
        command[command.index("-Q") + 1] = ",".join(queues)
    log = stack.home / "log" / f"{name}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            env={**model.environ(), **more},
            cwd=model.cwd(),
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        until(lambda: " ready." in log.read_text() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield f"{name}@"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def stopped(*families: list[psutil.Process]) -> Iterator[None]:
    """SIGSTOP these processes while the body runs, parents first; then SIGCONT."""
    processes = [process for family in families for process in family]
    try:
        for process in processes:
            process.suspend()
        yield
    finally:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()


@contextlib.contextmanager
def deaf(stack: Stack, parts: Mapping[str, Queue]) -> Iterator[None]:
    """Have these parts take no hints from their queue while the body runs; then they are started again."""
    for part, queue in parts.items():
        worker = psutil.Process(stack.pid(part))
        name = worker.cmdline()[worker.cmdline().index("-n") + 1].replace("%h", socket.gethostname())
        control = [sys.executable, "-m", "celery", "-A", "tasks.app", "control", "-d", name, "cancel_consumer", queue]
        subprocess.run(control, env=worker.environ(), cwd=worker.cwd(), check=True, timeout=30, capture_output=True)
    try:
        yield
    finally:
        for part in parts:
            stack.kill(part)
