"""What a worker makes ready before it forks its slots; one that cannot work says why and does not start."""

import os
import sys
import traceback
from typing import Any, NoReturn

from celery.signals import worker_init

from storage.errors import StorageError
from storage.telemetry.start import start
from tasks import base, process, settings
from tasks.errors import TasksError
from tasks.names import KINDS


def listen() -> None:
    """Have Celery call the function below."""
    worker_init.connect(_start)


def _start(sender: Any, **_: object) -> None:
    try:
        known = settings.from_env(os.environ)
        start("worker", os.environ)
        for prepare in {kind.prepare for kind in KINDS.values() if kind.queue in sender.app.amqp.queues.consume_from}:
            if prepare:
                base.loaded(prepare)(known)
        process.configure(known, process.worker_name(str(sender)))
    except (StorageError, TasksError) as exc:
        _refuse(str(exc))
    except Exception as exc:  # noqa: BLE001 - the edge: Celery would swallow it, and work on with half a start
        traceback.print_exc()
        _refuse(f"the worker could not be made ready: {exc!r}")


def _refuse(reason: str) -> NoReturn:
    sys.stderr.write(f"error: {reason}\n")
    sys.exit(os.EX_CONFIG)
