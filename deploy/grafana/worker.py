"""The dashboard of workers: who is there, what each does, and how well."""

from deploy.grafana.model import RATE, Choice, Dashboard, Row, Unit, lines, rate, rate_or_none, table

_HERE = '{hostname=~"$worker"}'

_THERE = Row(
    title="Who is there",
    panels=(
        table(
            "Workers and what they work on",
            "Steps that each worker works on now; who is not in the list has not spoken for twenty seconds.",
            f"max by (hostname) (celery_worker_tasks_active{_HERE})",
            value="Steps",
        ),
        table(
            "What Prometheus reaches",
            "1: it does. Workers, schedulers and scalers as the API lists them, and the API itself.",
            'up{job=~"millrace|millrace-api"}',
            value="Reached",
        ),
        lines(
            "Workers",
            "That live.",
            (f"count(max by (hostname) (celery_worker_up{_HERE}))", "workers"),
        ),
        lines(
            "Busy",
            "Steps that each works on.",
            (f"max by (hostname) (celery_worker_tasks_active{_HERE})", "{{hostname}}"),
            stacked=True,
        ),
        lines(
            "Slots in use",
            "Of all workers of a queue.",
            (
                "sum by (queue) (max by (queue, priority) (millrace_queue_running))"
                " / max by (queue) (millrace_queue_slots)",
                "{{queue}}",
            ),
            unit=Unit.SHARE,
        ),
    ),
)

_DONE = Row(
    title="What each does",
    panels=(
        lines(
            "Started",
            "Attempts per second.",
            (rate("celery_task_started_total", "hostname", _HERE), "{{hostname}}"),
            unit=Unit.RATE,
            stacked=True,
        ),
        lines(
            "Succeeded",
            "Attempts per second.",
            (rate("celery_task_succeeded_total", "hostname", _HERE), "{{hostname}}"),
            unit=Unit.RATE,
            stacked=True,
        ),
        lines(
            "Failed, or to be tried again",
            "Attempts per second.",
            (rate_or_none("celery_task_failed_total", "hostname", _HERE), "{{hostname}} failed"),
            (rate_or_none("celery_task_retried_total", "hostname", _HERE), "{{hostname}} again"),
            unit=Unit.RATE,
        ),
        lines(
            "How long an attempt takes",
            "What 95 of 100 do not take longer than, by worker.",
            (
                f"histogram_quantile(0.95, sum by (le, hostname) (rate(celery_task_runtime_bucket{_HERE}[{RATE}])))",
                "{{hostname}}",
            ),
            unit=Unit.SECONDS,
        ),
        lines(
            "Leases lost",
            "Per second: a worker that loses any hangs, or reaches the database too late.",
            (f'sum by (instance) (rate(millrace_leases_lost_total{{job="millrace"}}[{RATE}]))', "{{instance}}"),
            unit=Unit.RATE,
        ),
        lines(
            "Database connections in use",
            "By process.",
            ('millrace_database_pool_connections{job="millrace", state="used"}', "{{role}} {{instance}}"),
        ),
    ),
)

DASHBOARD = Dashboard(
    name="worker",
    title="Millrace: workers",
    about="Who is there, what each worker does, and how well.",
    rows=(_THERE, _DONE),
    choices=(Choice(name="worker", label="Worker", query="label_values(celery_worker_up, hostname)"),),
)
