"""The Celery app of the transport's measurement: a task that does nothing but note that it ran."""

import json
import os
import time
from pathlib import Path

from celery import Celery
from kombu import Queue

from tasks.transport import schemes

schemes.register()

app = Celery("transport", broker=os.environ["BENCH_BROKER"])
app.conf.update(
    broker_transport_options=json.loads(os.environ["BENCH_OPTIONS"]),
    broker_connection_retry_on_startup=True,
    task_queues=[Queue("work"), Queue("more")],
    task_default_queue="work",
    task_ignore_result=True,
    task_acks_late=os.environ.get("BENCH_LATE") == "1",
    worker_send_task_events=True,
)
NOTES = Path(os.environ["BENCH_NOTES"])
_notes = os.open(NOTES, os.O_CREAT | os.O_WRONLY | os.O_APPEND)


@app.task(name="nothing")
def nothing(sent: float) -> None:
    """Note how many milliseconds ago this was sent: 8 bytes each, which the system appends whole."""
    os.write(_notes, f"{(time.monotonic() - sent) * 1000:8.2f}"[:8].encode())
