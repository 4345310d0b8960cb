import os
from pathlib import Path

from deploy.local import logs


def test_a_log_that_grew_too_large_moves_on_under_the_hands_of_its_writer(tmp_path: Path) -> None:
    log = tmp_path / "log" / "api.log"
    logs.begin(log)
    writer = logs.open_for_child(log)
    os.write(writer, b"x" * 2000)
    logs.trim(log, largest=1000)
    os.write(writer, b"new\n")
    os.close(writer)
    assert log.read_text() == "new\n"
    assert log.with_name("api.log.1").read_text() == "x" * 2000


def test_a_small_log_stays(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    log.write_text("small\n")
    logs.trim(log)
    assert log.read_text() == "small\n"


def test_the_tail_is_the_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    log.write_text("".join(f"line {number}\n" for number in range(10_000)))
    assert logs.tail(log, 2) == ["line 9998", "line 9999"]


def test_a_missing_log_has_nothing_in_it(tmp_path: Path) -> None:
    assert logs.tail(tmp_path / "none.log") == []
    assert logs.since(tmp_path / "none.log", 10) == ""
