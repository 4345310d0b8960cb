"""`python -m tests.faults.again JOB…`: sends the hints of these jobs' steps once more, whatever their state is."""

import os
import sys

import psycopg

from scheduler.hints import Hints
from storage.model import JobId, StepId, TenantId
from storage.publishing import Runnable

QUERY = "SELECT tenant_id, job_id, id, kind, queue, priority FROM steps WHERE job_id = ANY(%s) ORDER BY random()"


def send_again(jobs: list[str]) -> None:
    """Send all of them, as the relay does."""
    hints = Hints()
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        for tenant, job, step, kind, queue, priority in connection.execute(QUERY, [jobs]):
            hints.send(
                [
                    Runnable(
                        tenant_id=TenantId(tenant),
                        job_id=JobId(job),
                        step_id=StepId(step),
                        kind=kind,
                        queue=queue,
                        priority=priority,
                    )
                ]
            )
    hints.close()


if __name__ == "__main__":
    send_again(sys.argv[1:])
