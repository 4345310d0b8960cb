"""The dashboard of queues: what there is to do, how fast it comes and goes, who does it."""

from deploy.grafana.model import Choice, Dashboard, Row, Unit, lines, number, rate

_HERE = '{queue=~"$queue"}'

_NOW = Row(
    title="Now",
    panels=(
        number(
            "May run",
            "Steps that wait for a worker.",
            f"sum(max by (queue, priority) (millrace_queue_runnable{_HERE}))",
        ),
        number("Running", "Steps that run.", f"sum(max by (queue, priority) (millrace_queue_running{_HERE}))"),
        number(
            "Later",
            "Steps that wait for their time, for their next attempt or for other steps.",
            " + ".join(
                f"sum(max by (queue, priority) (millrace_queue_{state}{_HERE}))"
                for state in ("scheduled", "retrying", "waiting")
            ),
        ),
        number(
            "Oldest",
            "How long the oldest step that may run has waited.",
            f"max(millrace_queue_oldest_runnable_seconds{_HERE})",
            unit=Unit.SECONDS,
            bad_from=60,
        ),
        number("Workers", "That serve these queues.", f"sum(max by (queue) (millrace_queue_workers{_HERE}))"),
        number("Slots", "Steps that they can run at once.", f"sum(max by (queue) (millrace_queue_slots{_HERE}))"),
        number(
            "Paused",
            "Queues that an operator has paused.",
            f"sum(max by (queue) (millrace_queue_paused{_HERE}))",
            bad_from=1,
        ),
        number(
            "Slowest p95",
            "What 95 of 100 attempts do not take longer than, in the slowest of these queues.",
            f"max(millrace_queue_service_p95_seconds{_HERE})",
            unit=Unit.SECONDS,
        ),
    ),
)

_TIME = Row(
    title="Over time",
    panels=(
        lines(
            "Age of the oldest step, and its target",
            "How long the oldest step that may run has waited, and how long it may (rules/targets.yml).",
            (f"max by (queue, priority) (millrace_queue_oldest_runnable_seconds{_HERE})", "{{queue}} {{priority}}"),
            (f"millrace:queue_age_target_seconds{_HERE}", "{{queue}} target"),
            unit=Unit.SECONDS,
        ),
        lines(
            "Steps that may run",
            "By priority.",
            (f"max by (queue, priority) (millrace_queue_runnable{_HERE})", "{{queue}} {{priority}}"),
            stacked=True,
        ),
        lines(
            "Steps that wait for something else",
            "For their time or their turn, for their next attempt, for other steps of their job.",
            *(
                (f"sum by (queue) (max by (queue, priority) (millrace_queue_{state}{_HERE}))", f"{{{{queue}}}} {state}")
                for state in ("scheduled", "retrying", "waiting")
            ),
        ),
        lines(
            "Coming and going",
            "Steps per second that became runnable, and attempts that ended, over the last minute.",
            *(
                (
                    f"sum by (queue) (max by (queue, priority) (millrace_queue_{flow}_per_second"
                    '{queue=~"$queue", window="1m"}))',
                    f"{{{{queue}}}} {flow}",
                )
                for flow in ("arrivals", "completions")
            ),
            unit=Unit.RATE,
        ),
        lines(
            "Slots and what runs",
            "As long as fewer run than there are slots, workers are not what is missing.",
            (f"max by (queue) (millrace_queue_slots{_HERE})", "{{queue}} slots"),
            (f"sum by (queue) (max by (queue, priority) (millrace_queue_running{_HERE}))", "{{queue}} running"),
        ),
        lines(
            "How long an attempt takes",
            "What an attempt takes a slot, of the last five minutes or, if few ended, of the last hour.",
            (f"max by (queue) (millrace_queue_service_mean_seconds{_HERE})", "{{queue}} mean"),
            (f"max by (queue) (millrace_queue_service_p95_seconds{_HERE})", "{{queue}} p95"),
            unit=Unit.SECONDS,
        ),
        lines(
            "Sent to workers",
            "Hints per second that the relay sent.",
            (rate("millrace_relay_sent_total", "queue", _HERE), "{{queue}}"),
            unit=Unit.RATE,
        ),
        lines(
            "Workers",
            "That serve the queue and are not stopping.",
            (f"max by (queue) (millrace_queue_workers{_HERE})", "{{queue}}"),
        ),
        lines(
            "Time to empty it",
            "What there is to do, divided by how fast it is done now, if nothing more comes.",
            (
                f"sum by (queue) (max by (queue, priority) (millrace_queue_runnable{_HERE}))"
                " / sum by (queue) (max by (queue, priority) (millrace_queue_completions_per_second"
                '{queue=~"$queue", window="5m"}))',
                "{{queue}}",
            ),
            unit=Unit.SECONDS,
        ),
    ),
)

DASHBOARD = Dashboard(
    name="queue",
    title="Millrace: queues",
    about="What there is to do in a queue, how fast it comes and goes, and who does it.",
    rows=(_NOW, _TIME),
    choices=(Choice(name="queue", label="Queue", query="label_values(millrace_queue_runnable, queue)"),),
)
