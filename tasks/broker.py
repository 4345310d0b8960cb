"""How a worker comes back to a broker that was away."""

from functools import partial
from typing import Any

from celery import Celery
from kombu import Connection

PACE: dict[str, Any] = {"interval_start": 1, "interval_step": 1, "interval_max": 3}


def reconnect_quickly(app: Celery) -> None:
    """Have the app's connections try again every 1 to 3 seconds; Celery's own pace grows to 30, and cannot be set."""
    app.amqp.Connection = _connection  # type: ignore[assignment]  # Celery only calls it


def _connection(*args: Any, **kwargs: Any) -> Connection:
    made = Connection(*args, **kwargs)
    made.ensure_connection = partial(made.ensure_connection, **PACE)  # type: ignore[method-assign]
    return made
