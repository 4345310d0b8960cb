"""The two calls that KEDA leaves open."""

from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from scheduler.pools import FOLDER
from scheduler.triggers import Numbers
from storage.errors import DatabaseUnavailable
from tests.scheduler.keda.serving import BUSY, IDLE, Running, Source
from tests.scheduler.keda.wire import ref, results
from tests.waiting import until

DRAIN = ref(scale="drain", seconds="30")
DEPTH_OF_FILE = ref(scale="depth")


@pytest.mark.parametrize(("numbers", "active"), [(IDLE, False), (BUSY, True)])
def test_a_stream_begins_with_what_is_so(numbers: Numbers, active: bool, running: Running, source: Source) -> None:
    source.numbers = numbers
    assert next(results(running.keda.stream_is_active(DRAIN))) is active


def test_a_change_is_pushed_once_and_nothing_else_is(running: Running, source: Source) -> None:
    stream = running.keda.stream_is_active(DRAIN)
    said = results(stream)
    assert next(said) is False
    source.numbers = BUSY
    assert next(said) is True
    _look_again(source)
    source.numbers = IDLE
    assert next(said) is False
    stream.cancel()


def test_a_fault_is_silence_and_never_a_false(running: Running, source: Source) -> None:
    source.numbers = BUSY
    stream = running.keda.stream_is_active(DRAIN)
    said = results(stream)
    assert next(said) is True
    source.fault = DatabaseUnavailable("connection refused")
    _look_again(source)
    source.fault = None
    _look_again(source)
    running.stop()
    assert list(said) == []


def test_a_stream_opened_during_a_fault_speaks_after_it(running: Running, source: Source) -> None:
    source.fault = DatabaseUnavailable("connection refused")
    stream = running.keda.stream_is_active(DRAIN)
    until(lambda: source.asked >= 2)
    source.numbers, source.fault = BUSY, None
    assert next(results(stream)) is True
    stream.cancel()


def test_streams_end_well_when_the_server_stops(running: Running) -> None:
    streams = [running.keda.stream_is_active(DRAIN), running.keda.stream_metric_spec(DRAIN)]
    for stream in streams:
        next(stream)
    running.stop()
    for stream in streams:
        assert list(stream) == []
        assert stream.code() is grpc.StatusCode.OK, "KEDA would wait longer and longer before it comes back"


def test_who_has_gone_is_asked_for_no_more(running: Running, source: Source) -> None:
    stream = running.keda.stream_is_active(DRAIN)
    next(stream)
    stream.cancel()

    def nobody_asks() -> bool:
        asked = source.asked
        running.keda.is_active(DRAIN)
        running.keda.metric_spec(DRAIN)
        return source.asked == asked + 1

    until(nobody_asks)


def test_many_open_streams_leave_room_for_the_other_calls(running: Running, source: Source) -> None:
    streams = [running.keda.stream_is_active(DRAIN) for _ in range(100)]
    streams += [running.keda.stream_metric_spec(DRAIN) for _ in range(100)]
    for stream in streams:
        next(stream)
    assert running.keda.is_active(DRAIN) is False
    source.numbers = BUSY
    assert all(next(results(stream)) for stream in streams[:100])
    for stream in streams:
        stream.cancel()


def test_a_new_target_in_the_pools_file_is_pushed(running: Running, folder: Path) -> None:
    _write_depth(folder, "4")
    stream = running.keda.stream_metric_spec(until(lambda: _is_known(running)))
    assert _targets(next(stream)) == [4.0]
    _write_depth(folder, "7")
    assert _targets(next(stream)) == [7.0]
    assert [spec.targetSizeFloat for spec in running.keda.metric_spec(DEPTH_OF_FILE)] == [7.0]
    stream.cancel()


def test_a_broken_file_keeps_the_last_good_one(
    running: Running, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _write_depth(folder, "4")
    stream = running.keda.stream_metric_spec(until(lambda: _is_known(running)))
    next(stream)
    (folder / "images.yaml").write_text("kind: [")
    told = until(lambda: [one.getMessage() for one in caplog.records if "pools.refused" in one.getMessage()])
    assert "images.yaml" in told[0]
    assert _targets_of(running) == [4.0]
    _write_depth(folder, "5")
    assert _targets(next(stream)) == [5.0], "the broken file was told in between"
    stream.cancel()


def test_a_change_elsewhere_is_not_pushed(running: Running, folder: Path) -> None:
    _write_depth(folder, "4")
    stream = running.keda.stream_metric_spec(until(lambda: _is_known(running)))
    next(stream)
    (folder / "calls.yaml").unlink()
    until(lambda: _is_gone(running, "calls"))
    _write_depth(folder, "5")
    assert _targets(next(stream)) == [5.0]
    stream.cancel()


def test_a_stream_of_a_pool_that_is_taken_away_says_so(running: Running, folder: Path) -> None:
    stream = running.keda.stream_metric_spec(DRAIN)
    next(stream)
    (folder / "images.yaml").unlink()
    with pytest.raises(grpc.RpcError):
        next(stream)
    assert stream.code() is grpc.StatusCode.NOT_FOUND


def _look_again(source: Source) -> None:
    """Return when the streams have seen what is there now."""
    asked = source.asked
    until(lambda: source.asked >= asked + 3)


def _write_depth(folder: Path, value: str) -> None:
    """Have the pool's file scale by depth too, in one step as Kubernetes does."""
    deployment, scaled = yaml.safe_load_all((FOLDER / "images.yaml").read_text())
    trigger = {"type": "external", "metadata": {"scalerAddress": "x:1", "scale": "depth", "value": value}}
    scaled["spec"]["triggers"].append(trigger)
    new = folder / "images.new"
    new.write_text(yaml.safe_dump_all([deployment, scaled]))
    new.rename(folder / "images.yaml")


def _is_known(running: Running) -> Any:
    """The reference, once the file's depth has been read."""
    try:
        return running.keda.metric_spec(DEPTH_OF_FILE) and DEPTH_OF_FILE
    except grpc.RpcError:
        return None


def _is_gone(running: Running, pool: str) -> bool:
    try:
        running.keda.metric_spec(ref(pool=pool, scale="drain"))
    except grpc.RpcError:
        return True
    return False


def _targets(answer: Any) -> list[float]:
    return [spec.targetSizeFloat for spec in answer.metricSpecs]


def _targets_of(running: Running) -> list[float]:
    return [spec.targetSizeFloat for spec in running.keda.metric_spec(DEPTH_OF_FILE)]
