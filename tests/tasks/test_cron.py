"""Which texts are cron patterns, what the others are told, and what patterns mean where no clock changes."""

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.cron import MAX_TEXT, NICKNAMES, CronInvalid, parse

BERLIN = ZoneInfo("Europe/Berlin")
LONGEST_MS = 50  # to refuse the worst: less than half of it here

REFUSED = {
    "": "is empty",
    " \t ": "is empty",
    "31 2 *": "has 3 fields; 5 are minute, hour",
    "5": "has 1 field;",
    "* * * * * * *": "has 7 fields; 5 are minute, hour, day of month, month, day of week; 6 have the second before",
    "0 0 12 1 1 ? 2027": "a year cannot be given",
    "61 * * * *": "minute 61 is outside 0-59",
    "60 * * * * *": "second 60 is outside 0-59",
    "0 24 * * *": "hour 24 is outside 0-23",
    "0 0 0 * *": "day of month 0 is outside 1-31",
    "0 0 32 * *": "day of month 32 is outside 1-31",
    "0 0 * 13 *": "month 13 is outside 1-12 or JAN-DEC",
    "0 0 * * 8": "day of week 8 is outside 0-7 or SUN-SAT",
    "0 0 * * MOO": "'MOO' is no day of week: write 0-7 or SUN-SAT",
    "0 0 * * SUNDAY": "did you mean SUN?",
    "0 0 * JUNE *": "did you mean JUN?",
    "0 0 MON * *": "'MON' is no day of month: write 1-31",
    "? * * * *": "'?' is no minute",
    "-5 * * * *": "'' is no minute",
    "1,, * * * *": "'' is no minute",
    "1-2-3 * * * *": "'2-3' is no minute",
    "*-5 * * * *": "'*' is no minute",
    "1.5 * * * *": "'1.5' is no minute",
    "5-1 * * * *": "minute '5-1' runs backwards; write 1-5, or 5-59,0-1",
    "0 22-6 * * *": "write 6-22, or 22-23,0-6 to go over the end",
    "0 0 * * FRI-SUN": "Sunday is both 0 and 7: write 5-7",
    "0 0 * * 7-2": "Sunday is both 0 and 7: write 0-2",
    "0 0 * * FRI-MON": "write 1-5, or 5-7,1-1",
    "*/0 * * * *": "minute '*/0' has no step: write 1 or more",
    "*/ * * * *": "minute '*/' has no step",
    "*/5/5 * * * *": "minute '*/5/5' has no step",
    "*/-5 * * * *": "minute '*/-5' has no step",
    "*/60 * * * *": "minute '*/60' has a step so large that only 0 is left: write 0",
    "*/1000000000000 * * * *": "has a step so large that only 0 is left",
    "0-0/16 * * * *": "has a step so large that only 0 is left",
    "0 0 * * */7": "has a step so large that only 0 is left",
    "0 0 L-3 * *": "L (alone) for the last day, or LW for the last weekday",
    "0 0 15W * *": "L (alone) for the last day, or LW for the last weekday",
    "0 0 L/2 * *": "'L' is no day of month",
    "0 0 * * L": "day of week 'L': write its number before L: 5L is the last Friday",
    "0 0 * * FRIL": "write its number before L",
    "0 0 * * 8L": "day of week 8 is outside 0-7",
    "0 0 * * MON#6": "day of week 'MON#6': write #1 to #5",
    "0 0 * * MON#": "day of week 'MON#': write #1 to #5",
    "0 0 * * #1": "'' is no day of week",
    "0 0 1#1 * *": "'1#1' is no day of month",
    "0 0 31 2 *": "never comes",
    "0 0 30 2 *": "never comes",
    "0 0 31 2,4,6,9,11 ?": "never comes",
    "0 0 */29 2 1#5": "never comes",
    "* * */20 * 1L": "never comes",
    "@reboot": "a schedule belongs to no machine that could start",
    "@every_minute": "write * * * * *",
    "@every 5m": "give the schedule an interval",
    "@dayly": "did you mean @daily?",
    "@": "there are @yearly, @annually",
    "@daily *": "@daily stands alone",
    "é": "holds the character '\\xe9'",
    "٣ * * * *": "holds the character '\\u0663'",
    "\uff15 * * * *": "holds the character '\\uff15'",
    "* * * * *\n": "holds the character '\\n'",
    "* *\x00 * * *": "holds the character '\\x00'",
    "*\u00a0* * * *": "holds the character '\\xa0'",
    "\ud800": "holds the character '\\ud800'",
    "," * 10_000: f"has 10000 characters; a pattern has at most {MAX_TEXT}",
    ",".join("1" * 65) + " * * * *": "minute lists 65 items, and may list 64",
    "1" * 248 + " * * * *": "minute 11111111111111111… is outside 0-59",
}

# What comes after Tuesday, 3 March 2026, 10:07:01 in UTC.
NEXT = {
    "* * * * *": "2026-03-03T10:08:00",
    "*/15 * * * *": "2026-03-03T10:15:00",
    "5/20 * * * *": "2026-03-03T10:25:00",
    "7 10 * * *": "2026-03-04T10:07:00",
    "0 3 * * *": "2026-03-04T03:00:00",
    "0 9-17/4 * * *": "2026-03-03T13:00:00",
    "0 12,11 * * *": "2026-03-03T11:00:00",
    "*/10 * * * * *": "2026-03-03T10:07:10",
    "1 7 10 * * *": "2026-03-04T10:07:01",
    "2 7 10 * * *": "2026-03-03T10:07:02",
    "0 0 L * *": "2026-03-31T00:00:00",
    "0 0 LW 5 *": "2026-05-29T00:00:00",
    "0 0 l,15 * *": "2026-03-15T00:00:00",
    "0 0 29 2 *": "2028-02-29T00:00:00",
    "0 0 * jun mon-fri": "2026-06-01T00:00:00",
    "0 0 * * 7": "2026-03-08T00:00:00",
    "0 0 * * 0": "2026-03-08T00:00:00",
    "0 0 * * 5-7": "2026-03-06T00:00:00",
    "0 0 * * 5L": "2026-03-27T00:00:00",
    "0 0 * * TUE#1": "2026-04-07T00:00:00",
    "0 0 * 2 1#5": "2044-02-29T00:00:00",
    "0 0 ? * 3": "2026-03-04T00:00:00",
    "0 0 10 * ?": "2026-03-10T00:00:00",
    "0 0 13 * FRI": "2026-03-06T00:00:00",  # both restricted: either
    "0 0 */13 * FRI": "2026-03-27T00:00:00",  # one begins with a star: both
    "0 0 29 2 1#5": "2028-02-29T00:00:00",
    "@yearly": "2027-01-01T00:00:00",
    "@annually": "2027-01-01T00:00:00",
    "@monthly": "2026-04-01T00:00:00",
    "@weekly": "2026-03-08T00:00:00",
    "@DAILY": "2026-03-04T00:00:00",
    "@midnight": "2026-03-04T00:00:00",
    "@hourly": "2026-03-03T11:00:00",
}

WORDS = {
    "0 3 * * *": "At 03:00 every day",
    "@hourly": "At the start of every hour",
    "*/15 * * * *": "Every 15th minute of every hour",
    "0 9 * * MON-FRI": "At 09:00 on Monday through Friday",
    "0 0 L * *": "At 00:00 on the last day of every month",
    "0 0 ? * 5L": "At 00:00 on the last Friday of the month",
    "0 0 21,22 * *": "At 00:00 on the 21st and the 22nd day of month",
    "0 0 11,23 * *": "At 00:00 on the 11th and the 23rd day of month",
    "*/10 * * * * *": "Every 10th second of every minute",
    "*/2 * * * * *": "Every 2nd second of every minute",
    "30 0 9 * * *": "At 09:00:30 every day",
    "15 30 2 1 1 *": "At 02:30:15 on January 1",
}


@pytest.mark.parametrize(("text", "said"), REFUSED.items(), ids=lambda text: ascii(text)[:30])
def test_what_is_no_pattern_is_refused_at_once_with_what_to_write(text: str, said: str) -> None:
    begin = time.process_time()
    with pytest.raises(CronInvalid) as refused:
        parse(text)
    assert (time.process_time() - begin) * 1000 < LONGEST_MS
    assert said in str(refused.value)
    assert len(str(refused.value)) < 250


@pytest.mark.parametrize("value", [True, False, None, 5, 1.5, b"* * * * *", ["*"], {}])
def test_other_json_values_are_no_patterns(value: str) -> None:
    with pytest.raises(CronInvalid, match="a cron pattern is a string"):
        parse(value)


@pytest.mark.parametrize(("text", "at"), NEXT.items())
def test_patterns_mean_what_crontab_says(text: str, at: str) -> None:
    moment = datetime(2026, 3, 3, 10, 7, 1, tzinfo=UTC)
    assert parse(text).after(moment, ZoneInfo("UTC")) == datetime.fromisoformat(at).replace(tzinfo=UTC)


@pytest.mark.parametrize(("text", "words"), WORDS.items())
def test_patterns_are_put_into_words(text: str, words: str) -> None:
    assert parse(text).words == words


def test_one_pattern_has_one_spelling() -> None:
    assert parse("  0 3\t?  jan  mon ").text == "0 3 * JAN MON"
    assert parse("0 3 * JAN MON") == parse("0 3 ? jan Mon")
    assert {parse(nickname).text for nickname in NICKNAMES} == {parse(text).text for text in NICKNAMES.values()}


@pytest.mark.parametrize("hours", ["*", "*/1", "0-23", "0-11,12-23", "23,0-22", "0/1"])
def test_a_pattern_of_all_hours_follows_real_time(hours: str) -> None:
    assert parse(f"30 {hours} * * *").follows_real_time


@pytest.mark.parametrize("hours", ["1-23", "0-22", "*/2", "2", "0-11,13-23"])
def test_a_pattern_of_some_hours_is_one_of_wall_clock_times(hours: str) -> None:
    assert not parse(f"30 {hours} * * *").follows_real_time


def test_the_longest_wait_is_found() -> None:
    found = parse("0 0 */28 2 MON#5").after(datetime(2072, 3, 1, tzinfo=UTC), ZoneInfo("UTC"))
    assert found == datetime(2112, 2, 29, tzinfo=UTC)  # over 2100, which is no leap year


def test_no_firing_comes_after_the_calendars_end() -> None:
    end = datetime.max.replace(tzinfo=UTC)
    assert parse("* * * * *").after(end, BERLIN) is None
    assert parse("0 0 29 2 *").after(end - timedelta(days=800), BERLIN) is None
    assert parse("0 3 * * *").after(datetime.min.replace(tzinfo=UTC), ZoneInfo("Asia/Tokyo")) is not None


def test_a_moment_needs_a_zone() -> None:
    with pytest.raises(ValueError, match="needs a zone"):
        parse("* * * * *").after(datetime(2026, 1, 1), BERLIN)  # noqa: DTZ001 (that is the point)


texts = st.text(max_size=40) | st.lists(
    st.text("0123456789*/,-#?LW ", max_size=6) | st.sampled_from(["*", "MON", "1-5"]), min_size=4, max_size=7
).map(" ".join)


@settings(max_examples=300, deadline=None)
@given(text=texts)
def test_any_text_is_a_pattern_or_is_refused(text: str) -> None:
    try:
        cron = parse(text)
    except CronInvalid as exc:
        refused = str(exc)
    else:
        begin = datetime(2026, 3, 3, tzinfo=UTC)
        assert parse(cron.text) == cron
        assert cron.words
        assert (cron.after(begin, BERLIN) or begin) > begin
        return
    assert "\n" not in refused
