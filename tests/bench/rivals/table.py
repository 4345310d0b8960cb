"""procrastinate: its defaults; the queue is a table, and what is done stays in it."""

import os

from procrastinate import App, PsycopgConnector, SyncPsycopgConnector
from procrastinate.types import JSONValue

app = App(connector=PsycopgConnector(conninfo=os.environ.get("RIVAL_DATABASE_URL", "")))


@app.task(queue="bench")
async def echo(message: str) -> dict[str, str]:
    return {"message": message}


def fill(url: str, count: int) -> None:
    """Write so many jobs, many in a statement."""
    one: dict[str, JSONValue] = {"message": "hello"}
    with app.replace_connector(SyncPsycopgConnector(conninfo=url)) as replaced, replaced.open():
        for first in range(0, count, 1000):
            echo.configure().batch_defer(*[one] * min(1000, count - first))
