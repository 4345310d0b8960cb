"""Reading traces."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from scheduler.simulation import chance
from scheduler.simulation.errors import InvalidTrace
from scheduler.simulation.trace import cut, moment, read, scaled
from scheduler.simulation.world import World
from tests.scheduler.simulation.worlds import ORIGIN, trace_of


def written(folder: Path, *lines: str) -> Path:
    file = folder / "some.csv"
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def test_a_row_lasts_until_the_next_but_not_through_a_gap(tmp_path: Path) -> None:
    rows = ("2026-01-01 00:00:00,4", "2026-01-01 00:05:00,0", "2026-01-01 00:10:00,6.5", "2026-01-01 03:00:00,1")
    trace = read(written(tmp_path, "timestamp,value", *rows))
    assert trace.begins.tolist() == [0, 300, 600, 10_800]
    assert trace.ends.tolist() == [300, 600, 900, 11_100]
    assert (trace.jobs, trace.peak, trace.origin) == (11.5, 6.5 / 300, ORIGIN)


def test_unix_seconds_and_scheduled_jobs_are_read(tmp_path: Path) -> None:
    trace = read(written(tmp_path, "Timestamp, Value, Scheduled", "1767225600,5,2", "1767225660,3,0", ""))
    assert trace.origin == ORIGIN
    assert trace.spread.tolist() == [3, 3]
    assert trace.scheduled.tolist() == [2, 0]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["time,jobs", "1,2"], "line 1: must be 'timestamp,value'"),
        (["timestamp,value", "1,2"], "has 1 rows"),
        (["timestamp,value"], "has 0 rows"),
        ([], "line 1: must be"),
        (["timestamp,value", "1,2", "2,many"], "line 3: value must be a number, not 'many'"),
        (["timestamp,value", "1,2", "2,-1"], "line 3: value must be a number from 0 on"),
        (["timestamp,value", "1,2", "2,nan"], "line 3: value must be a number from 0 on"),
        (["timestamp,value", "1,2", "", "noon,1"], "line 4: 'noon' is no timestamp"),
        (["timestamp,value", "2,2", "1,2"], "line 3: '1' is not later"),
        (["timestamp,value", "1,2,3"], "line 2: has 3 cells, the header 2"),
        (["timestamp,value,scheduled", "1,2,3"], "line 2: scheduled must be a whole number up to the value"),
        (["timestamp,value", '1,"2'], "line 2: unexpected end of data"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(tmp_path: Path, lines: list[str], said: str) -> None:
    with pytest.raises(InvalidTrace, match=r"some\.csv") as caught:
        read(written(tmp_path, *lines))
    assert said in str(caught.value)


def test_a_missing_file_and_a_binary_one_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidTrace, match=r"none\.csv cannot be read"):
        read(tmp_path / "none.csv")
    (tmp_path / "some.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidTrace, match=r"some\.csv cannot be read"):
        read(tmp_path / "some.csv")


def test_a_part_begins_at_its_own_first_row() -> None:
    part = cut(trace_of(1, 2, 3, 4), ORIGIN + timedelta(seconds=300), ORIGIN + timedelta(seconds=900))
    assert (part.begins.tolist(), part.spread.tolist()) == ([0, 300], [2, 3])
    assert part.origin == ORIGIN + timedelta(seconds=300)
    with pytest.raises(InvalidTrace, match="1 rows"):
        cut(trace_of(1, 2, 3), ORIGIN + timedelta(seconds=600))


def test_a_scaled_trace_has_as_many_times_the_jobs() -> None:
    twice = scaled(trace_of(4, 6, scheduled=[1, 0]), 2)
    assert (twice.spread.tolist(), twice.scheduled.tolist()) == ([6, 12], [2, 0])


def test_a_timestamp_without_a_zone_is_utc() -> None:
    assert moment("2026-01-01T01:00:00+01:00") == moment("2026-01-01") == ORIGIN


def test_arrivals_are_as_many_as_the_rows_say_and_in_order() -> None:
    trace = trace_of(1000, 0, 3000, 500, scheduled=[0, 0, 0, 500])
    arrivals, services = chance.draws(trace, World(service=2.0))
    rows = np.histogram(arrivals, bins=[0, 300, 600, 900, 1200])[0]
    assert (np.diff(arrivals) >= 0).all()
    assert rows[1] == 0
    assert (arrivals == 900).sum() == rows[3] == 500
    assert abs(rows[0] - 1000) < 4 * 1000**0.5
    assert abs(rows[2] - 3000) < 4 * 3000**0.5
    assert services.mean() == pytest.approx(2.0, rel=0.1)


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0, 2.0])
def test_service_times_have_the_mean_and_the_spread_asked_for(spread: float) -> None:
    _, services = chance.draws(trace_of(60_000, 0), World(service=3.0, spread=spread))
    assert services.mean() == pytest.approx(3.0, rel=0.03)
    assert services.std() == pytest.approx(3.0 * spread, rel=0.05)
