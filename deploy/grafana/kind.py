"""The dashboard of kinds: how often they fail, how long they wait and run."""

from deploy.grafana.model import Choice, Dashboard, Row, Unit, lines, quantiles, rate, rate_or_none, table

_HERE = '{kind=~"$kind"}'

_RESULT = Row(
    title="What becomes of it",
    panels=(
        lines(
            "Attempts",
            "Per second, by how they ended.",
            (rate("millrace_steps_total", "kind, outcome", _HERE), "{{kind}} {{outcome}}"),
            unit=Unit.RATE,
            stacked=True,
        ),
        lines(
            "Failures, and how many there may be",
            "Of the steps that ended for good, the share that failed; the budget stands in rules/targets.yml.",
            (f"millrace:step_failures:ratio_rate1h{_HERE}", "{{kind}}"),
            (f"millrace:step_failure_budget_ratio{_HERE}", "{{kind}} budget"),
            unit=Unit.SHARE,
        ),
        lines(
            "How fast the budget burns",
            "1: it lasts just a month. Alerts come at 14.4 (over an hour) and 6 (over six hours).",
            *(
                (
                    f"millrace:step_failures:ratio_rate{window}{_HERE} / on (kind) millrace:step_failure_budget_ratio",
                    f"{{{{kind}}}} {window}",
                )
                for window in ("5m", "1h", "6h")
            ),
            unit=Unit.NONE,
        ),
        lines(
            "Errors by code",
            "Attempts per second that ended with an error, whether or not they are made again.",
            (rate_or_none("millrace_step_errors_total", "kind, code", _HERE), "{{kind}} {{code}}"),
            unit=Unit.RATE,
        ),
        lines(
            "Dead letters",
            "Steps that failed for good and are kept: they can be replayed.",
            (f"max by (kind) (millrace_dead_letters{_HERE})", "{{kind}}"),
        ),
        table(
            "Failed for good, by code",
            "Since the processes began that told of them.",
            f"sum by (kind, code) (millrace_dead_letters_total{_HERE})",
            value="Steps",
            width=8,
        ),
    ),
)

_TIMES = Row(
    title="How long it takes",
    panels=(
        lines(
            "Wait",
            "From the moment a step might run to its claim by a worker.",
            *quantiles("millrace_step_wait_seconds", _HERE, by="kind"),
            unit=Unit.SECONDS,
        ),
        lines(
            "Run",
            "What an attempt takes a slot.",
            *quantiles("millrace_step_run_seconds", _HERE, by="kind"),
            unit=Unit.SECONDS,
        ),
        lines(
            "Busy slots",
            "Seconds of attempts per second: how many slots the kind keeps busy.",
            (rate("millrace_step_run_seconds_sum", "kind", _HERE), "{{kind}}"),
            unit=Unit.NONE,
            stacked=True,
        ),
    ),
)

_CALLS = Row(
    title="Third parties",
    panels=(
        lines(
            "Calls that are held back",
            "Per second, by what holds them: a budget, or a host that is down. Of all kinds that call.",
            (rate_or_none("millrace_calls_held_total", "reason"), "{{reason}}"),
            unit=Unit.RATE,
        ),
        lines(
            "Hosts left alone",
            "Hosts that failed so often that calls to them wait.",
            ("max(millrace_breakers_open)", "hosts"),
        ),
        lines(
            "Breakers that change",
            "Per second, by what they become.",
            (rate_or_none("millrace_breaker_changes_total", "to"), "{{to}}"),
            unit=Unit.RATE,
        ),
    ),
)

DASHBOARD = Dashboard(
    name="kind",
    title="Millrace: kinds",
    about="How often steps of a kind fail, and how long they wait and run.",
    rows=(_RESULT, _TIMES, _CALLS),
    choices=(Choice(name="kind", label="Kind", query="label_values(millrace_steps_total, kind)"),),
)
