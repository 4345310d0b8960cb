"""What a dashboard says, without what Grafana's JSON wants around it (see deploy.grafana.document)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

PROMETHEUS, POSTGRES = "prometheus", "postgres"  # Grafana's names of the two kinds of source

RATE = "$__rate_interval"  # of a counter's rate(): as long as Grafana finds right for what is shown


class Look(StrEnum):
    """The kinds of panels, by Grafana's names."""

    LINES = "timeseries"
    NUMBER = "stat"
    TABLE = "table"


class Unit(StrEnum):
    """What numbers are of, by Grafana's names."""

    COUNT = "short"
    SECONDS = "s"
    RATE = "ops"
    SHARE = "percentunit"
    BYTES_PER_SECOND = "Bps"
    NONE = "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """PromQL, or SQL where the dashboard reads from PostgreSQL; `legend` names a line by its labels ({{queue}})."""

    text: str
    legend: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """`width` in 24ths of the page. `bad_from`: a number from here on is red; `stacked`: lines add up.

    Of a table: `value` is what the column of numbers is called, `hidden` columns are not shown.
    """

    title: str
    about: str
    queries: Sequence[Query]
    unit: Unit = Unit.COUNT
    look: Look = Look.LINES
    width: int = 8
    bad_from: float | None = None
    stacked: bool = False
    value: str = "Value"
    hidden: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """What the reader chooses above the dashboard; `query` says from what. `several`: more than one, or all."""

    name: str
    label: str
    query: str
    several: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Dashboard:
    """`name` is its file's, and its uid with `millrace-` before it: links lead there."""

    name: str
    title: str
    about: str
    rows: Sequence[Row]
    choices: Sequence[Choice] = ()
    source: str = PROMETHEUS


def lines(title: str, about: str, *queries: tuple[str, str], unit: Unit = Unit.COUNT, stacked: bool = False) -> Panel:
    """A panel with lines over time; queries as (text, legend)."""
    found = [Query(text=text, legend=legend) for text, legend in queries]
    return Panel(title=title, about=about, queries=found, unit=unit, stacked=stacked)


def number(title: str, about: str, text: str, *, unit: Unit = Unit.COUNT, bad_from: float | None = None) -> Panel:
    """A small panel with the one number of now."""
    query = Query(text=text)
    return Panel(title=title, about=about, queries=[query], unit=unit, look=Look.NUMBER, width=3, bad_from=bad_from)


def table(
    title: str, about: str, text: str, *, value: str = "Value", hidden: Sequence[str] = (), width: int = 12
) -> Panel:
    """A panel with a row for each series, or for each row of SQL."""
    return Panel(
        title=title,
        about=about,
        queries=[Query(text=text)],
        unit=Unit.NONE,
        look=Look.TABLE,
        width=width,
        value=value,
        hidden=hidden,
    )


def rate(metric: str, by: str, where: str = "") -> str:
    """The query for a counter's growth per second, by these labels."""
    return f"sum by ({by}) (rate({metric}{where}[{RATE}]))"


def rate_or_none(metric: str, by: str, where: str = "") -> str:
    """The same; a line `none` at 0 while nobody has counted anything, which is not to look like missing numbers."""
    label = by.rpartition(", ")[2]
    return f'{rate(metric, by, where)} or label_replace(0 * absent({metric}{where}), "{label}", "none", "", "")'


def quantiles(metric: str, where: str = "", by: str = "") -> tuple[tuple[str, str], ...]:
    """The queries for the p50, p95 and p99 of a histogram, by a label if one is given."""
    legend = f"{{{{{by}}}}} " if by else ""
    labels = f"le, {by}" if by else "le"
    rates = f"sum by ({labels}) (rate({metric}_bucket{where}[{RATE}]))"
    shares = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    return tuple((f"histogram_quantile({share}, {rates})", f"{legend}{name}") for name, share in shares)
