"""One process that only parses what Millrace's POST is sent, and one that hands it to Celery as well; no row."""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from tests.bench.rivals.queue import echo

app = FastAPI()


class Job(BaseModel):
    """The document of a job, as far as these look."""

    steps: dict[str, dict[str, Any]]
    metadata: dict[str, Any] = {}


@app.post("/bare", status_code=202)
async def bare(job: Job) -> dict[str, str]:
    return {"id": "job_0", "state": "queued"}


@app.post("/apply_async", status_code=202)
async def apply_async(job: Job) -> dict[str, str]:
    # On the loop and not in a thread: it blocks the loop, and is a third quicker.
    sent = echo.apply_async(args=(job.steps["say"]["message"],), queue="submitted")
    return {"id": sent.id, "state": "queued"}
