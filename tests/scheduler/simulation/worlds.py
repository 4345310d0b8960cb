"""Small traces and policies for the tests of the simulator."""

from datetime import UTC, datetime, timedelta

from scheduler.simulation import trace as traces
from scheduler.simulation.pilot import Policy
from scheduler.simulation.rivals import Bounds, scaled
from scheduler.simulation.trace import Trace
from scheduler.triggers import Depth, Rule

ORIGIN = datetime(2026, 1, 1, tzinfo=UTC)


def trace_of(*values: float, step: float = 300.0, scheduled: list[float] | None = None) -> Trace:
    """One row a step."""
    times = [ORIGIN + timedelta(seconds=step * row) for row in range(len(values))]
    return traces.of_rows("made", times, values, scheduled)


def at_once(*jobs: int, step: float = 300.0) -> Trace:
    """So many jobs exactly at each row's begin: a schedule fires them."""
    return trace_of(*jobs, step=step, scheduled=list(jobs))


def fixed(replicas: int) -> Policy:
    """Always as many."""
    return Policy(
        name="fixed",
        scaled=scaled({"pollingInterval": 5}, Bounds(least=replicas, most=replicas)),
        rules=(Depth("depth", 1),),
    )


def local(rule: Rule, *, least: int = 0, most: int = 5, cooldown: float = 30, window: int = 60) -> Policy:
    """One of ours, every five seconds."""
    behavior = {"scaleDown": {"stabilizationWindowSeconds": window}}
    spec = {
        "pollingInterval": 5,
        "cooldownPeriod": cooldown,
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior}},
    }
    return Policy(name=rule.name, scaled=scaled(spec, Bounds(least=least, most=most)), rules=(rule,))
