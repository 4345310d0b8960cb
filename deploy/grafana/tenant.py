"""The dashboard of one tenant, read from the database on request: no number that Prometheus keeps names a tenant."""

from deploy.grafana.model import POSTGRES, Choice, Dashboard, Row, Unit, lines, number, table

_JOBS = "FROM jobs WHERE tenant_id = ${tenant:sqlstring}"
_STEPS = "FROM steps WHERE tenant_id = ${tenant:sqlstring}"
_TOOK = "extract(epoch FROM finished_at - created_at)"

_NOW = Row(
    title="Now, and in the time shown",
    panels=(
        number(
            "Open jobs",
            "That have not ended.",
            f"SELECT count(*) {_JOBS} AND state IN ('scheduled', 'queued', 'running')",
        ),
        number("Running steps", "At this moment.", f"SELECT count(*) {_STEPS} AND state = 'running'"),
        number(
            "Oldest step",
            "How long the oldest step that may run has waited.",
            f"SELECT coalesce(extract(epoch FROM now() - min(run_at)), 0) {_STEPS} AND state = 'queued'",  # noqa: S608 - ours
            unit=Unit.SECONDS,
        ),
        number("Dead letters", "Failed steps that are kept.", f"SELECT count(*) {_STEPS} AND state = 'failed'"),
        number("Accepted", "Jobs, in the time shown.", f"SELECT count(*) {_JOBS} AND $__timeFilter(created_at)"),
        number(
            "Succeeded",
            "Jobs, in the time shown.",
            f"SELECT count(*) {_JOBS} AND state = 'succeeded' AND $__timeFilter(finished_at)",
        ),
        number(
            "Not succeeded",
            "Jobs that failed, expired or were canceled, in the time shown.",
            f"SELECT count(*) {_JOBS} AND state IN ('failed', 'expired', 'canceled') AND $__timeFilter(finished_at)",
        ),
        number(
            "p95",
            "What 95 of 100 jobs did not take longer than, of those that succeeded in the time shown.",
            f"SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY {_TOOK}) {_JOBS} AND state = 'succeeded'"
            " AND $__timeFilter(finished_at)",
            unit=Unit.SECONDS,
        ),
    ),
)

_TIME = Row(
    title="Over time",
    panels=(
        lines(
            "Jobs that ended",
            "By state, in each interval.",
            (
                f"SELECT $__timeGroupAlias(finished_at, $__interval), state AS metric, count(*) AS value {_JOBS}"
                " AND finished_at IS NOT NULL AND $__timeFilter(finished_at) GROUP BY 1, 2 ORDER BY 1",
                "",
            ),
            stacked=True,
        ),
        lines(
            "How long jobs took",
            "From acceptance to the end, of those that succeeded.",
            (
                "SELECT $__timeGroupAlias(finished_at, $__interval),"
                f" percentile_cont(0.5) WITHIN GROUP (ORDER BY {_TOOK}) AS p50,"
                f" percentile_cont(0.95) WITHIN GROUP (ORDER BY {_TOOK}) AS p95 {_JOBS}"
                " AND state = 'succeeded' AND $__timeFilter(finished_at) GROUP BY 1 ORDER BY 1",
                "",
            ),
            unit=Unit.SECONDS,
        ),
        lines(
            "Steps that ended",
            "By kind, in each interval.",
            (
                f"SELECT $__timeGroupAlias(finished_at, $__interval), kind AS metric, count(*) AS value {_STEPS}"
                " AND finished_at IS NOT NULL AND $__timeFilter(finished_at) GROUP BY 1, 2 ORDER BY 1",
                "",
            ),
            stacked=True,
        ),
    ),
)

_WHICH = Row(
    title="Which",
    panels=(
        table(
            "Dead letters",
            "Failed steps that are kept, by kind and reason.",
            "SELECT kind, error ->> 'code' AS code, count(*) AS steps, max(finished_at) AS last"
            f" {_STEPS} AND state = 'failed' GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 50",
        ),
        table(
            "The latest jobs that did not succeed",
            "With the time they took.",
            f"SELECT id AS job, state, finished_at AS ended, round({_TOOK}, 1) AS seconds {_JOBS}"
            " AND state IN ('failed', 'expired', 'canceled') ORDER BY id DESC LIMIT 50",
        ),
    ),
)

DASHBOARD = Dashboard(
    name="tenant",
    title="Millrace: tenant",
    about="How one tenant's jobs fare: read from the database, with a role that sees no file and no parameter.",
    rows=(_NOW, _TIME, _WHICH),
    choices=(
        Choice(
            name="tenant",
            label="Tenant",
            query="SELECT name AS __text, id AS __value FROM tenants ORDER BY 1",
            several=False,
        ),
    ),
    source=POSTGRES,
)
