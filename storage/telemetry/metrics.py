"""Every number that a process counts by itself; docs/metrics.md explains them. No label names a tenant.

What is read from rows instead, the same from each API process, stands in api/metrics.py and beside it.
"""

from storage.telemetry.metric_kinds import CELERYS, FAST, Counter, Gauge, Histogram, Kind

_OF_TASK = ("name", "hostname", "queue_name")

# The API
HTTP_REQUESTS = Counter(
    name="millrace_http_requests_total",
    what="Requests that were answered, by the route's template and the answer's status.",
    labels=("method", "route", "status"),
)
HTTP_SECONDS = Histogram(
    name="millrace_http_request_seconds",
    what="From a request's head to the end of its answer.",
    labels=("method", "route"),
    bounds=FAST,
)
HTTP_IN_PROGRESS = Gauge(name="millrace_http_requests_in_progress", what="Requests that are being answered.")
EVENT_STREAMS = Gauge(name="millrace_event_streams", what="Clients that watch a job's events.")
UPLOAD_BYTES = Counter(name="millrace_upload_bytes_total", what="Bytes of files that clients have sent.")
CACHE_REQUESTS = Counter(
    name="millrace_cache_requests_total",
    what="What was looked for before it was made: finished pictures (renditions), vectors in memory (likenesses).",
    labels=("cache", "outcome"),
)
JOBS_ACCEPTED = Counter(
    name="millrace_jobs_accepted_total",
    what="Jobs that were written, or told to run again, by where that came from: http, batch, schedule, retry.",
    labels=("via",),
)

# All processes
POOL_CONNECTIONS = Gauge(
    name="millrace_database_pool_connections",
    what="Connections to the database that are open: used, or idle in the pool.",
    labels=("state",),
)
POOL_SIZE = Gauge(name="millrace_database_pool_size", what="Connections that the pools may open.")

# Wherever an attempt, or a job, ends: the workers, the scheduler, the API
STEPS = Counter(
    name="millrace_steps_total",
    what="Attempts at steps that ended, by how: succeeded, failed (for good), retrying, stopped (with their job), lost"
    " (with their worker), returned (by a worker that was told to stop).",
    labels=("kind", "outcome"),
)
STEP_ERRORS = Counter(
    name="millrace_step_errors_total",
    what="Attempts that did not succeed, by the code of their error.",
    labels=("kind", "code"),
)
STEP_WAIT = Histogram(
    name="millrace_step_wait_seconds",
    what="From when a step might have run to when a worker took it.",
    labels=("kind",),
)
STEP_RUN = Histogram(
    name="millrace_step_run_seconds", what="What an attempt took its slot, from when its turn came.", labels=("kind",)
)
DEAD_LETTERS = Counter(
    name="millrace_dead_letters_total", what="Steps that failed for good, by code.", labels=("kind", "code")
)
JOBS = Counter(name="millrace_jobs_total", what="Jobs that ended, by state.", labels=("state",))
JOB_SECONDS = Histogram(
    name="millrace_job_seconds", what="From when a job was accepted, the first time, to its end.", labels=("state",)
)

# Workers
LEASES_LOST = Counter(
    name="millrace_leases_lost_total",
    what="Attempts whose end was not written, since somebody else had the step by then.",
)
BREAKER_CHANGES = Counter(
    name="millrace_breaker_changes_total",
    what="Changes of breakers that this process has brought about: to open, probing, closed.",
    labels=("to",),
)
CALLS_HELD = Counter(
    name="millrace_calls_held_total",
    what="Calls that were put off before they were made, by why: host_busy, tenant_busy, rate_limited, host_down,"
    " throttled.",
    labels=("reason",),
)
TASK_RECEIVED = Counter(name="celery_task_received_total", what="Hints that workers have received.", labels=_OF_TASK)
TASK_STARTED = Counter(name="celery_task_started_total", what="Attempts that have begun.", labels=_OF_TASK)
TASK_SUCCEEDED = Counter(name="celery_task_succeeded_total", what="Attempts that succeeded.", labels=_OF_TASK)
TASK_FAILED = Counter(
    name="celery_task_failed_total",
    what="Attempts that failed for good; exception is the code of the error.",
    labels=("name", "hostname", "exception", "queue_name"),
)
TASK_RETRIED = Counter(
    name="celery_task_retried_total", what="Attempts that failed and will be made again.", labels=_OF_TASK
)
TASK_RUNTIME = Histogram(
    name="celery_task_runtime", what="How long attempts took that succeeded.", labels=_OF_TASK, bounds=CELERYS
)

# The scheduler and the scaler
RELAY_SENT = Counter(name="millrace_relay_sent_total", what="Hints that were sent to the broker.", labels=("queue",))
RELAY_SECONDS = Histogram(
    name="millrace_relay_seconds",
    what="How long one look for what may run takes, with the sending of it.",
    bounds=FAST,
)
LOOP_RUNS = Counter(
    name="millrace_loop_runs_total", what="Starts of a loop; all but the first are after failures.", labels=("loop",)
)
LOOP_FAILURES = Counter(
    name="millrace_loop_failures_total", what="Failures after which a loop was started again.", labels=("loop",)
)
STEPS_REAPED = Counter(
    name="millrace_steps_reaped_total", what="Steps that were taken from workers that said nothing any more."
)
WEBHOOK_ATTEMPTS = Counter(
    name="millrace_webhook_attempts_total",
    what="Tries at deliveries: delivered, retrying, failed (the last one).",
    labels=("outcome",),
)
WEBHOOK_SECONDS = Histogram(
    name="millrace_webhook_seconds", what="How long receivers took to answer, or not to.", bounds=FAST
)
SCALER_DECISIONS = Counter(
    name="millrace_scaler_decisions_total", what="Decisions about a pool's replicas.", labels=("pool",)
)

ALL: tuple[Kind, ...] = (
    *(HTTP_REQUESTS, HTTP_SECONDS, HTTP_IN_PROGRESS, EVENT_STREAMS, UPLOAD_BYTES, CACHE_REQUESTS, JOBS_ACCEPTED),
    *(POOL_CONNECTIONS, POOL_SIZE),
    *(STEPS, STEP_ERRORS, STEP_WAIT, STEP_RUN, DEAD_LETTERS, JOBS, JOB_SECONDS),
    *(LEASES_LOST, BREAKER_CHANGES, CALLS_HELD),
    *(TASK_RECEIVED, TASK_STARTED, TASK_SUCCEEDED, TASK_FAILED, TASK_RETRIED, TASK_RUNTIME),
    *(RELAY_SENT, RELAY_SECONDS, LOOP_RUNS, LOOP_FAILURES, STEPS_REAPED),
    *(WEBHOOK_ATTEMPTS, WEBHOOK_SECONDS, SCALER_DECISIONS),
)
