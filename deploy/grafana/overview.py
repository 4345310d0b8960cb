"""The dashboard that says whether the platform is well."""

from deploy.grafana.model import RATE, Dashboard, Row, Unit, lines, number, quantiles, rate, rate_or_none, table

_NOW = Row(
    title="Now",
    panels=(
        number(
            "Alerts",
            "Alerts of deploy/prometheus/rules that fire.",
            'count(ALERTS{alertname=~"Millrace.+", alertstate="firing"}) or vector(0)',
            bad_from=1,
        ),
        number(
            "Oldest step",
            "How long the oldest step that may run has waited, in any queue.",
            "max(millrace_queue_oldest_runnable_seconds)",
            unit=Unit.SECONDS,
            bad_from=60,
        ),
        number("May run", "Steps that wait for a worker.", "sum(max by (queue, priority) (millrace_queue_runnable))"),
        number("Running", "Steps that run.", "sum(max by (queue, priority) (millrace_queue_running))"),
        number("Workers", "Workers that live.", 'max(millrace_processes{role="worker"}) or vector(0)'),
        number(
            "Dead letters", "Failed steps that are kept.", "sum(max by (kind) (millrace_dead_letters)) or vector(0)"
        ),
        number(
            "Relay lag",
            "Age of the oldest step that the broker should know of and does not.",
            "max(millrace_relay_lag_seconds)",
            unit=Unit.SECONDS,
            bad_from=30,
        ),
        number(
            "API failures",
            "Share of the requests of the last five minutes that the API could not serve (5xx).",
            "millrace:http_failures:ratio_rate5m",
            unit=Unit.SHARE,
            bad_from=0.05,
        ),
    ),
)

_WORK = Row(
    title="Work",
    panels=(
        lines(
            "Jobs accepted and ended",
            "Per second, by the way they came and by the state they ended in.",
            (rate("millrace_jobs_accepted_total", "via"), "accepted: {{via}}"),
            (rate("millrace_jobs_total", "state"), "ended: {{state}}"),
            unit=Unit.RATE,
        ),
        lines(
            "Attempts",
            "Per second, by how they ended.",
            (rate("millrace_steps_total", "outcome"), "{{outcome}}"),
            unit=Unit.RATE,
            stacked=True,
        ),
        lines(
            "How long jobs take",
            "From acceptance to the end, of those that succeeded.",
            *quantiles("millrace_job_seconds", '{state="succeeded"}'),
            unit=Unit.SECONDS,
        ),
        lines(
            "Age of the oldest step, by queue",
            "How long the oldest step that may run has waited.",
            ("max by (queue) (millrace_queue_oldest_runnable_seconds)", "{{queue}}"),
            unit=Unit.SECONDS,
        ),
        lines(
            "Steps that may run, by queue",
            "What waits for a worker; steps of paused queues are among them.",
            ("sum by (queue) (max by (queue, priority) (millrace_queue_runnable))", "{{queue}}"),
            stacked=True,
        ),
        lines(
            "Dead letters, by kind",
            "Steps that failed for good and are kept.",
            ("max by (kind) (millrace_dead_letters)", "{{kind}}"),
            stacked=True,
        ),
    ),
)

_API = Row(
    title="API",
    panels=(
        lines(
            "Requests",
            "Per second, by status.",
            (rate("millrace_http_requests_total", "status"), "{{status}}"),
            unit=Unit.RATE,
            stacked=True,
        ),
        lines(
            "How long requests take",
            "Of all routes but those that wait on purpose: long polls and event streams.",
            *quantiles("millrace_http_request_seconds", '{route!~"/v1/jobs/\\\\{job_id\\\\}(/events)?"}'),
            unit=Unit.SECONDS,
        ),
        lines(
            "Requests in progress, event streams",
            "At this moment, in all API processes.",
            ("sum(millrace_http_requests_in_progress)", "in progress"),
            ("sum(millrace_event_streams)", "event streams"),
        ),
        lines(
            "Uploads",
            "Bytes per second that came in.",
            (f"sum(rate(millrace_upload_bytes_total[{RATE}]))", "bytes"),
            unit=Unit.BYTES_PER_SECOND,
        ),
        lines(
            "Cache hits",
            "Share of what was asked for that was there already.",
            (
                f'sum by (cache) (rate(millrace_cache_requests_total{{outcome="hit"}}[{RATE}]))'
                f" / sum by (cache) (rate(millrace_cache_requests_total[{RATE}]))",
                "{{cache}}",
            ),
            unit=Unit.SHARE,
        ),
        lines(
            "Database connections in use",
            "Share of each process's pool.",
            (
                'millrace_database_pool_connections{state="used"}'
                " / on (job, instance) group_left () millrace_database_pool_size",
                "{{job}} {{instance}}",
            ),
            unit=Unit.SHARE,
        ),
    ),
)

_POOLS = Row(
    title="Pools and processes",
    panels=(
        lines(
            "Workers wanted and there",
            "By pool. Where KEDA scales, kube-state-metrics tells these numbers.",
            ("max by (pool) (millrace_pool_wanted_replicas)", "{{pool}} wanted"),
            ("max by (pool) (millrace_pool_replicas)", "{{pool}} there"),
        ),
        lines(
            "Slots in use",
            "Steps that run, of those that the queue's workers can run at once.",
            (
                "sum by (queue) (max by (queue, priority) (millrace_queue_running))"
                " / max by (queue) (millrace_queue_slots)",
                "{{queue}}",
            ),
            unit=Unit.SHARE,
        ),
        lines(
            "Processes",
            "That live, by what they are.",
            ("max by (role) (millrace_processes)", "{{role}}"),
        ),
        lines(
            "Age of the scaler's last decision",
            "By pool; it grows while no scaler runs.",
            ("max by (pool) (millrace_pool_decision_age_seconds)", "{{pool}}"),
            unit=Unit.SECONDS,
        ),
        lines(
            "Leases lost, steps taken back",
            "Per second: what workers that die, hang or are cut off cost.",
            (f"sum(rate(millrace_leases_lost_total[{RATE}]))", "lost"),
            (f"sum(rate(millrace_steps_reaped_total[{RATE}]))", "taken back"),
            unit=Unit.RATE,
        ),
        table(
            "Versions",
            "How many API processes tell of which version.",
            "count by (version) (millrace_build_info)",
            value="Processes",
            width=8,
        ),
    ),
)

_CLOCK = Row(
    title="By the clock",
    panels=(
        lines(
            "Sent to workers",
            "Hints per second that the relay sent, by queue.",
            (rate("millrace_relay_sent_total", "queue"), "{{queue}}"),
            unit=Unit.RATE,
            stacked=True,
        ),
        lines(
            "Loops that fail",
            "Failures per second, by loop: the database, the broker or the object store is away.",
            (rate("millrace_loop_failures_total", "loop"), "{{loop}}"),
            unit=Unit.RATE,
        ),
        lines(
            "Firings",
            "Per second, by what became of them.",
            (f"max by (outcome) (rate(millrace_firings_total[{RATE}]))", "{{outcome}}"),
            unit=Unit.RATE,
        ),
        lines(
            "How late schedules fire",
            "Of the firings that nothing but the platform could delay.",
            (
                f"histogram_quantile(0.95, max by (le) (rate(millrace_firing_lateness_seconds_bucket[{RATE}])))",
                "p95",
            ),
            ("clamp_min(-max(millrace_schedule_next_due_seconds), 0)", "overdue now"),
            unit=Unit.SECONDS,
        ),
        lines(
            "Webhooks",
            "Attempts per second, by how they ended.",
            (rate_or_none("millrace_webhook_attempts_total", "outcome"), "{{outcome}}"),
            unit=Unit.RATE,
        ),
        lines(
            "Webhooks that wait",
            "Deliveries that have still to be made, and endpoints that refuse theirs.",
            ("max(millrace_webhook_deliveries_pending)", "deliveries"),
            ("max(millrace_webhook_endpoints_failing)", "endpoints that fail"),
        ),
    ),
)

DASHBOARD = Dashboard(
    name="overview",
    title="Millrace: overview",
    about="Whether the platform is well, and where it is not.",
    rows=(_NOW, _WORK, _API, _POOLS, _CLOCK),
)
