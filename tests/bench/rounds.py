"""Systems that take turns; medians of their figures, and ratios of figures of the same round."""

import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Figures = dict[str, float]
"""What one turn gave, by name: rates per second, `ms …` of times, `cpu ms …` of a job or request by process."""


def take_turns(systems: Mapping[str, Callable[[], Figures]], rounds: int) -> dict[str, list[Figures]]:
    """Each system once in every round, in an order that turns around, so that none is always the first."""
    seen: dict[str, list[Figures]] = {name: [] for name in systems}
    for number in range(rounds):
        for name in list(systems) if number % 2 == 0 else list(systems)[::-1]:
            seen[name].append(systems[name]())
            print(f"  {name}: {_line(seen[name][-1])}", file=sys.stderr, flush=True)
    return seen


def summary(seen: Mapping[str, Sequence[Figures]], compared: Mapping[str, tuple[str, str, str]]) -> dict[str, Any]:
    """Medians by system, the rounds behind them, and for each of `compared` (name → figure, system, rival) the median
    of the rounds' ratios.
    """
    medians = {
        system: {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
        for system, rounds in seen.items()
        if rounds
    }
    ratios = {
        name: statistics.median(
            one[figure] / other[figure] for one, other in zip(seen[ours], seen[theirs], strict=True)
        )
        for name, (figure, ours, theirs) in compared.items()
        if seen.get(ours) and seen.get(theirs)
    }
    return {"medians": medians, "ratios": ratios, "rounds": dict(seen)}


def cpu_ms(before: Mapping[str, float], after: Mapping[str, float], count: int) -> Figures:
    """CPU ms per job by process, and their sum."""
    found = {f"cpu ms {name}": 1000 * (after[name] - seconds) / count for name, seconds in before.items()}
    return {**found, "cpu ms all": sum(found.values())}


def quantiles(milliseconds: Sequence[float], what: str) -> Figures:
    """p50 and p99 of times."""
    return {f"ms {what} p50": quantile(milliseconds, 0.5), f"ms {what} p99": quantile(milliseconds, 0.99)}


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the values lies."""
    if len(values) < 2:
        return values[0]
    return statistics.quantiles(values, n=1000, method="inclusive")[round(share * 1000) - 1]


def table(title: str, found: Mapping[str, Any]) -> str:
    """What `summary` gave, for people: a line per figure, a column per system."""
    medians: Mapping[str, Figures] = found["medians"]
    names = list(dict.fromkeys(name for figures in medians.values() for name in figures))
    wide = max(30, *(len(name) for name in names))
    columns = [max(11, len(system)) for system in medians]
    lines = ["", title, " ".join([" " * wide, *(f"{s:>{c}}" for s, c in zip(medians, columns, strict=True))])]
    for name in names:
        cells = [_cell(figures.get(name)) for figures in medians.values()]
        lines.append(" ".join([f"{name:<{wide}}", *(f"{s:>{c}}" for s, c in zip(cells, columns, strict=True))]))
    lines += [f"{name:<{wide}} {ratio:>11.2f} times" for name, ratio in found["ratios"].items()]
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.3f}"


def _line(figures: Figures) -> str:
    return "  ".join(f"{name} {_cell(value)}" for name, value in figures.items())
