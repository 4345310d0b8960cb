"""What a worker makes ready before it forks its slots; one that cannot work says why and does not start."""

import os
import sys
from typing import Any

from celery.signals import worker_init

from storage.errors import StorageError
from tasks import base, process, settings
from tasks.errors import TasksError
from tasks.names import KINDS


def listen() -> None:
    """Have Celery call the function below."""
    worker_init.connect(_start)


def _start(sender: Any, **_: object) -> None:
    try:
        known = settings.from_env(os.environ)
        for prepare in {kind.prepare for kind in KINDS.values() if kind.queue in sender.app.amqp.queues.consume_from}:
            if prepare:
                base.loaded(prepare)(known)
        process.configure(known, process.worker_name(str(sender)))
    except (StorageError, TasksError) as exc:
        sys.stderr.write(f"error: {exc}\n")
        sys.exit(os.EX_CONFIG)
