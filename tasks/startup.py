"""What a worker makes ready before it forks its slots; one that cannot work says why and does not start."""

import logging
import os
import sys
import traceback
from collections.abc import Container
from typing import Any, NoReturn

from celery.signals import (
    celeryd_init,
    setup_logging,
    task_received,
    worker_init,
    worker_process_shutdown,
    worker_shutdown,
)

from storage import heap
from storage.errors import StorageError
from storage.telemetry import logs
from storage.telemetry.metrics import STEPS
from storage.telemetry.settings import from_env
from storage.telemetry.start import send_rest, start
from tasks import base, counting, hinted, process, settings
from tasks.errors import TasksError
from tasks.names import KINDS


def listen() -> None:
    """Have Celery call the functions below."""
    celeryd_init.connect(_log_our_way)
    worker_init.connect(_start)
    task_received.connect(_received)
    worker_process_shutdown.connect(_end_slot)
    worker_shutdown.connect(_end_slot)


def _start(sender: Any, **_: object) -> None:
    try:
        known = settings.from_env(os.environ)
        metrics_url = start("worker", os.environ).metrics_url
        for prepare in {kind.prepare for kind in KINDS.values() if kind.queue in sender.app.amqp.queues.consume_from}:
            if prepare:
                base.loaded(prepare)(known)
        process.configure(known, process.worker_name(str(sender)), metrics_url=metrics_url)
        _count_from_nothing(sender.app.amqp.queues.consume_from)
        logs.keep(lambda: process.current().database)
        heap.settled()  # slots, which are forked from here, have it so
    except (StorageError, TasksError) as exc:
        _refuse(str(exc))
    except Exception as exc:  # noqa: BLE001 - the edge: Celery would swallow it, and work on with half a start
        traceback.print_exc()
        _refuse(f"the worker could not be made ready: {exc!r}")


def _count_from_nothing(queues: Container[str]) -> None:
    """Have counters there before the first attempt: one that is first seen at 1 has not grown, for Prometheus."""
    for kind in KINDS.values():
        if kind.queue in queues:
            for outcome in ("succeeded", "failed"):
                STEPS.add(kind.name, outcome, by=0.0)


def _log_our_way(instance: Any, **_: object) -> None:
    """Have Celery leave the loggers as they are, and not tell of each task what `step.started` and `step.ended` do."""
    setup_logging.connect(_leave_loggers)
    try:
        telemetry = from_env(os.environ, "worker")
    except StorageError:
        return  # what follows says so, and does not start
    logs.set_up(telemetry)
    if telemetry.log_level != "DEBUG":
        for name in ("celery.worker.strategy", "celery.app.trace"):
            logging.getLogger(name).setLevel(logging.WARNING)
    if not logs.is_for_people(telemetry):
        instance.quiet = True  # no banner between lines that programs read


def _leave_loggers(**_: object) -> None:
    """What Celery finds connected to this signal has set up logging."""


def _received(request: Any = None, **_: object) -> None:
    counting.received(str(request.name), steps=len(hinted.steps_of(request.kwargs)) or 1)


def _end_slot(**_: object) -> None:
    send_rest()
    logs.end()


def _refuse(reason: str) -> NoReturn:
    sys.stderr.write(f"error: {reason}\n")
    sys.exit(os.EX_CONFIG)
