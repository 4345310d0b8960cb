"""The cron trigger by KEDA's pkg/scalers/cron_scaler.go: inside while the next end comes before the next start."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from scheduler import triggers
from scheduler.errors import InvalidPool
from scheduler.scaledobject import Trigger
from scheduler.triggers import Cron, Numbers

NUMBERS = Numbers(
    runnable=0,
    running=0,
    oldest=0,
    arrivals=0,
    arrivals_5m=0,
    service_mean=0,
    service_stddev=0,
    samples=0,
    slots=1,
)
DAY = ("0 8 * * *", "0 20 * * *")
NIGHT = ("0 22 * * *", "0 6 * * *")
WEEKDAYS = ("0 8 * * 1-5", "0 20 * * 1-5")


def _inside(window: tuple[str, str], zone: str, moment: str) -> bool:
    """Whether the trigger is active at a moment with an offset or a Z; its value must say the same."""
    cron = Cron("cron", zone, *window, 10)
    reading = cron.read(NUMBERS, 1, datetime.fromisoformat(moment).timestamp())
    assert (reading.value, reading.target, reading.is_average) == (10 if reading.active else 1, 1, True)
    return reading.active


@pytest.mark.parametrize(
    ("moment", "inside"),
    [
        ("2026-11-03T07:59:59Z", False),
        ("2026-11-03T08:00:00Z", True),  # the next start is tomorrow's, the next end today's
        ("2026-11-03T12:00:00Z", True),
        ("2026-11-03T19:59:59Z", True),
        ("2026-11-03T20:00:00Z", False),
        ("2026-11-03T23:00:00Z", False),
    ],
)
def test_a_day_holds_from_its_start_until_its_end(moment: str, inside: bool) -> None:
    assert _inside(DAY, "UTC", moment) is inside


@pytest.mark.parametrize(
    ("moment", "inside"),
    [
        ("2026-11-03T21:59:59Z", False),
        ("2026-11-03T22:00:00Z", True),
        ("2026-11-04T00:00:00Z", True),
        ("2026-11-04T05:59:59Z", True),
        ("2026-11-04T06:00:00Z", False),
    ],
)
def test_a_night_holds_over_midnight(moment: str, inside: bool) -> None:
    assert _inside(NIGHT, "UTC", moment) is inside


@pytest.mark.parametrize(
    ("moment", "inside"),
    [
        ("2026-11-06T19:59:00Z", True),  # a Friday
        ("2026-11-06T20:00:00Z", False),
        ("2026-11-07T12:00:00Z", False),
        ("2026-11-08T12:00:00Z", False),
        ("2026-11-09T08:00:00Z", True),
    ],
)
def test_a_working_week_leaves_out_its_end(moment: str, inside: bool) -> None:
    assert _inside(WEEKDAYS, "UTC", moment) is inside


@pytest.mark.parametrize(
    ("zone", "moment", "inside"),
    [
        ("Asia/Kolkata", "2026-11-03T02:29:59Z", False),  # 08:00 there is 02:30 UTC
        ("Asia/Kolkata", "2026-11-03T02:30:00Z", True),
        ("Asia/Kolkata", "2026-11-03T14:30:00Z", False),
        ("America/New_York", "2026-11-03T12:59:59Z", False),  # 08:00 EST is 13:00 UTC
        ("America/New_York", "2026-11-03T13:00:00Z", True),
        ("Pacific/Auckland", "2026-11-02T19:00:00Z", True),  # 08:00 NZDT, a day ahead
        ("Pacific/Auckland", "2026-11-02T18:59:59Z", False),
    ],
)
def test_the_clock_is_that_of_the_time_zone(zone: str, moment: str, inside: bool) -> None:
    assert _inside(DAY, zone, moment) is inside


@pytest.mark.parametrize(
    ("moment", "inside"),
    [
        ("2026-03-28T06:59:59Z", False),  # CET: 08:00 is 07:00 UTC
        ("2026-03-28T07:00:00Z", True),
        ("2026-03-28T18:59:59Z", True),
        ("2026-03-28T19:00:00Z", False),
        ("2026-03-29T05:59:59Z", False),  # CEST from this day on: 06:00 UTC
        ("2026-03-29T06:00:00Z", True),
        ("2026-03-29T18:00:00Z", False),
        ("2026-10-24T06:00:00Z", True),
        ("2026-10-25T06:59:59Z", False),  # CET again
        ("2026-10-25T07:00:00Z", True),
        ("2026-10-25T19:00:00Z", False),
    ],
)
def test_a_day_keeps_to_the_wall_clock_when_summer_time_begins_and_ends(moment: str, inside: bool) -> None:
    assert _inside(DAY, "Europe/Berlin", moment) is inside


@pytest.mark.parametrize(
    ("moment", "inside"),
    [
        ("2026-03-28T21:00:00Z", True),  # 22:00 CET, and seven hours until
        ("2026-03-29T03:59:59Z", True),
        ("2026-03-29T04:00:00Z", False),  # 06:00 CEST
        ("2026-10-24T20:00:00Z", True),  # 22:00 CEST, and nine hours until
        ("2026-10-25T00:30:00Z", True),  # 02:30, the first time
        ("2026-10-25T01:30:00Z", True),  # 02:30, the second
        ("2026-10-25T04:59:59Z", True),
        ("2026-10-25T05:00:00Z", False),  # 06:00 CET
    ],
)
def test_a_night_is_an_hour_shorter_or_longer_when_the_clock_is_changed(moment: str, inside: bool) -> None:
    assert _inside(NIGHT, "Europe/Berlin", moment) is inside


def test_where_summer_time_is_unknown_nothing_shifts() -> None:
    for month in (1, 7):
        start = datetime(2026, month, 5, 8, tzinfo=ZoneInfo("Asia/Tokyo"))
        assert _inside(DAY, "Asia/Tokyo", start.isoformat())
        assert not _inside(DAY, "Asia/Tokyo", datetime.fromtimestamp(start.timestamp() - 1, start.tzinfo).isoformat())


def _parsed(**changed: str) -> Cron:
    given = {"timezone": "Europe/Berlin", "start": DAY[0], "end": DAY[1], "desiredReplicas": "10", **changed}
    metadata = {name: value for name, value in given.items() if value}
    rule = triggers.parse(Trigger(type="cron", metadata=metadata), "images")
    assert isinstance(rule, Cron)
    return rule


def test_a_cron_trigger_is_read_from_its_metadata() -> None:
    assert _parsed() == Cron("cron", "Europe/Berlin", *DAY, 10)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"timeZone": "UTC"}, "/metadata/timeZone: unknown field; did you mean 'timezone'?"),
        ({"timezone": ""}, "/metadata/timezone: is missing"),
        ({"end": ""}, "/metadata/end: is missing"),
        ({"desiredReplicas": ""}, "/metadata/desiredReplicas: is missing"),
        ({"start": "0 8 * *"}, "/metadata/start: '0 8 * *' is not a cron expression of five fields"),
        ({"start": "0 0 8 * * *"}, "/metadata/start: '0 0 8 * * *' is not a cron expression of five fields"),
        ({"end": "@daily"}, "/metadata/end: '@daily' is not a cron expression of five fields"),
        ({"end": "0 25 * * *"}, "/metadata/end: '0 25 * * *' is not a cron expression of five fields"),
        ({"desiredReplicas": "ten"}, "/metadata/desiredReplicas: must be a number of replicas from 1, in quotes"),
        ({"desiredReplicas": "-1"}, "/metadata/desiredReplicas: must be a number of replicas from 1, in quotes"),
    ],
)
def test_metadata_that_cannot_be_used_is_refused_at_its_place(changed: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidPool) as caught:
        _parsed(**changed)
    assert str(caught.value) == f"/spec/triggers{words}"


def test_an_unknown_time_zone_is_refused_at_its_place() -> None:
    with pytest.raises(InvalidPool, match="/metadata/timezone: there is no time zone 'Europe/Atlantis'"):
        _parsed(timezone="Europe/Atlantis")


@pytest.mark.parametrize(
    ("moment", "inside"),
    [
        ("2026-03-28T11:00:00Z", False),
        ("2026-03-29T00:59:59Z", False),
        ("2026-03-29T01:00:00Z", True),  # 03:00 CEST
        ("2026-03-29T03:00:00Z", False),
    ],
)
def test_our_own_way_a_start_that_the_clock_skips_comes_with_the_jump(moment: str, inside: bool) -> None:
    """KEDA's cron library leaves it out, so that the whole day before the 29th of March would be inside."""
    assert _inside(("30 2 * * *", "0 5 * * *"), "Europe/Berlin", moment) is inside


def test_a_start_and_an_end_at_the_same_moment_are_inside() -> None:
    # Sunday noon: both next come on Monday at 8
    assert _inside(("0 8 * * *", "0 8 * * 1"), "UTC", "2026-11-08T12:00:00Z")


@pytest.mark.parametrize(
    "changed",
    [
        {"end": DAY[0]},
        {"desiredReplicas": "0"},
        {"start": "0 8 * * 7"},  # its week is 0 to 6
        {"start": "0 8 * * 1#2"},
    ],
    ids=["start is end", "no replicas", "weekday 7", "the second Monday"],
)
def test_what_keda_refuses_is_refused(changed: dict[str, str]) -> None:
    with pytest.raises(InvalidPool):
        _parsed(**changed)
