"""What a real worker serves to Prometheus: its parent tells what all slots have done, the killed ones too."""

from collections.abc import Callable

import psutil

from storage import workers
from storage.database import Database
from storage.model import Job, JobState, TenantId
from tests.documents import put_in
from tests.scraping import Scrape, number, scrape
from tests.tasks.working import Worker
from tests.waiting import until

SLOW = {"steps": {"say": {"kind": "echo", "sleep_seconds": 60}}}


def url_of(database: Database) -> str | None:
    with database.platform_read() as tx:
        return next((one.metrics_url for one in workers.living(tx)), None)


def outcomes(seen: Scrape) -> dict[str, float]:
    found = {one.labels["outcome"]: one.value for one in seen["millrace_steps_total"] if one.labels["kind"] == "echo"}
    assert found["failed"] == 0, "there before the first failure, which Prometheus would not see otherwise"
    return {outcome: attempts for outcome, attempts in found.items() if attempts}


def test_a_killed_slot_takes_no_number_with_it(
    worker: Worker, database: Database, tenant: TenantId, read: Callable[[Job], Job]
) -> None:
    with worker(METRICS_PORT="0") as process:
        jobs = [put_in(database, tenant) for _ in range(3)]
        until(lambda: all(read(job).state is JobState.SUCCEEDED for job in jobs))
        url = until(lambda: url_of(database))
        until(lambda: outcomes(scrape(url)).get("succeeded") == 3)
        slow = put_in(database, tenant, SLOW)
        until(lambda: read(slow).state is JobState.RUNNING)
        [child] = psutil.Process(process.pid).children()
        child.kill()
        until(lambda: outcomes(scrape(url)).get("lost") == 1)
        seen = until(lambda: again_begun(url))
        assert outcomes(seen) == {"succeeded": 3, "lost": 1}
        assert number(seen, "millrace_jobs_total", state="succeeded") == 3
        assert number(seen, "millrace_job_seconds_count", state="succeeded") == 3
        assert number(seen, "millrace_step_run_seconds_count", kind="echo") == 4
        assert number(seen, "millrace_step_wait_seconds_count", kind="echo") == 5
        assert number(seen, "millrace_step_errors_total", kind="echo", code="worker_lost") == 1
        assert number(seen, "millrace_database_pool_connections", state="used") >= 0
        of_celery = {"name": "echo", "queue_name": "default"}
        assert number(seen, "celery_task_succeeded_total", **of_celery) == 3
        assert number(seen, "celery_task_runtime_count", **of_celery) == 3
        assert number(seen, "celery_task_started_total", **of_celery) == 5
        assert number(seen, "celery_task_received_total", **of_celery) >= 5
        hosts = {one.labels["hostname"] for one in seen["celery_task_started_total"]}
        with database.platform_read() as tx:
            assert hosts == {one.replica for one in workers.living(tx)}


def again_begun(url: str) -> Scrape | None:
    """What is told once the step has been begun again."""
    seen = scrape(url)
    return seen if number(seen, "celery_task_started_total") == 5 else None
