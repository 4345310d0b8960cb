"""Stock Celery: its defaults, but `acks_late`, so that a killed worker's task is done again, as ours is."""

import os

from celery import Celery

WARM_QUEUE = "warm"

app = Celery("rival", broker=os.environ.get("RIVAL_BROKER_URL", "memory://"))
app.conf.task_acks_late = True


@app.task
def echo(message: str) -> dict[str, str]:
    return {"message": message}


def publish(url: str, where: str, count: int) -> None:
    """Send so many tasks over one connection."""
    with _of(url) as sender, sender.producer_or_acquire() as producer:
        for _ in range(count):
            sender.send_task(echo.name, ["hello"], queue=where, producer=producer)


def is_ready(url: str) -> bool:
    """Whether a worker answers."""
    with _of(url) as asking:
        return bool(asking.control.ping(timeout=0.5))


def consume(url: str, where: str) -> None:
    """Tell the worker to take tasks from this queue as well."""
    with _of(url) as telling:
        telling.control.add_consumer(where)


def _of(url: str) -> Celery:
    return Celery("driver", broker=url, set_as_current=False)
