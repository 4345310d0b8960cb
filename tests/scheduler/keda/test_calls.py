"""The three calls that KEDA polls, by a client that knows only KEDA's numbers."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest

from scheduler.errors import ConfigurationError, NumbersUnavailable
from scheduler.folder import Folder
from scheduler.keda.server import Server
from scheduler.keda.service import Service
from storage.errors import DatabaseRefused, DatabaseUnavailable
from tests.scheduler.keda.serving import BUSY, IDLE, Running, Source
from tests.scheduler.keda.wire import ref

DEPTH = {"pool": "images", "scale": "depth", "value": "2.5"}
AGE = {"pool": "images", "scale": "age", "seconds": "10"}
DRAIN = {"pool": "images", "scale": "drain", "seconds": "30"}
AHEAD = {"pool": "images", "scale": "ahead", "seconds": "10"}

# 100 attempts' weight (90 at 0.5 s, 10 at the guess of 1 s) makes 0.55 s each: (3 * 0.55 + 25 * 0.55 / 30) / 2 slots.
DRAINED = 1.0  # 25 steps of 0.545 s on 2 slots are 6.8 s of one replica; 24 are aimed at, and one there is: two run
ANSWERS = [
    (DEPTH, "millrace-images-depth", 2.5, 3, 25.0, 25),
    (AGE, "millrace-images-age", 10.0, 10, 12.5, 13),
    (DRAIN, "millrace-images-drain", 1.0, 1, DRAINED, 1),
    (AHEAD, "millrace-images-ahead", 1.0, 1, 2.0, 2),
]


@pytest.mark.parametrize(("metadata", "name", "target", "whole_target", "value", "whole"), ANSWERS)
def test_each_scale_gives_the_metric_and_target_that_the_autoscaler_divides(
    metadata: dict[str, str],
    name: str,
    target: float,
    whole_target: int,
    value: float,
    whole: int,
    running: Running,
    source: Source,
) -> None:
    source.numbers = BUSY
    [spec] = running.keda.metric_spec(ref(**metadata))
    assert (spec.metricName, spec.targetSizeFloat, spec.targetSize) == (name, target, whole_target)
    [metric] = running.keda.metrics(ref(**metadata), spec.metricName)
    assert (metric.metricName, metric.metricValueFloat, metric.metricValue) == (name, pytest.approx(value), whole)
    assert running.keda.is_active(ref(**metadata))


@pytest.mark.parametrize("metadata", [DEPTH, AGE, DRAIN, AHEAD])
def test_without_work_the_value_is_zero_and_the_pool_inactive(metadata: dict[str, str], running: Running) -> None:
    [metric] = running.keda.metrics(ref(**metadata), "")
    assert (metric.metricValueFloat, metric.metricValue) == (0.0, 0)
    assert not running.keda.is_active(ref(**metadata))


def test_the_pool_is_by_default_the_scaled_objects_own_name(running: Running, source: Source) -> None:
    source.numbers = BUSY
    [spec] = running.keda.metric_spec(ref(scale="depth", value="1"))
    assert spec.metricName == "millrace-images-depth"


def test_a_trigger_without_a_target_takes_the_one_of_the_pools_file(running: Running, source: Source) -> None:
    source.numbers = BUSY
    [metric] = running.keda.metrics(ref(scale="drain"), "")
    assert metric.metricValueFloat == pytest.approx(DRAINED)


def test_numbers_beyond_an_int64_stay_the_largest_there_is(running: Running, source: Source) -> None:
    source.numbers = IDLE._replace(runnable=10**30)
    [metric] = running.keda.metrics(ref(**DEPTH), "")
    assert (metric.metricValueFloat, metric.metricValue) == (1e30, 2**63 - 1)
    [spec] = running.keda.metric_spec(ref(scale="depth", value="1e300"))
    assert (spec.targetSizeFloat, spec.targetSize) == (1e300, 2**63 - 1)


def test_an_age_below_zero_is_none(running: Running, source: Source) -> None:
    source.numbers = BUSY._replace(oldest=-0.7)
    [metric] = running.keda.metrics(ref(**AGE), "")
    assert (metric.metricValueFloat, metric.metricValue) == (0.0, 0)


INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
REFUSED = [
    ({"scale": "drain", "second": "30"}, INVALID, "/metadata/second: unknown field; did you mean 'seconds'?"),
    ({"scale": "drian", "seconds": "30"}, INVALID, "did you mean 'drain'?"),
    ({"seconds": "30"}, INVALID, "/metadata/scale: must be one of depth, age, drain, ahead"),
    ({"scale": "drain", "seconds": "soon"}, INVALID, "must be a number above 0, in quotes, not 'soon'"),
    ({"scale": "depth"}, INVALID, "/metadata/value: must be a number above 0"),  # nor does the file say one
    ({"pool": "image", "scale": "depth", "value": "1"}, NOT_FOUND, "no pool 'image'; did you mean 'images'?"),
    ({"pool": "xyz", "scale": "depth", "value": "1"}, NOT_FOUND, "there are: ai, calls, default, images"),
]


@pytest.mark.parametrize(("metadata", "code", "said"), REFUSED)
def test_metadata_that_means_nothing_is_refused_by_every_call(
    metadata: dict[str, str], code: grpc.StatusCode, said: str, running: Running
) -> None:
    calls = [
        running.keda.is_active,
        running.keda.metric_spec,
        lambda of: running.keda.metrics(of, ""),
        lambda of: next(running.keda.stream_is_active(of)),
        lambda of: next(running.keda.stream_metric_spec(of)),
    ]
    for call in calls:
        status = _refused(lambda call=call: call(ref(**metadata)))
        assert status[0] is code
        assert said in status[1]


def test_a_metric_of_another_trigger_is_not_found(running: Running) -> None:
    code, said = _refused(lambda: running.keda.metrics(ref(**DEPTH), "millrace-images-age"))
    assert code is NOT_FOUND
    assert "it has 'millrace-images-depth'" in said


FAULTS = [DatabaseUnavailable("connection refused"), DatabaseRefused("no such table"), NumbersUnavailable("stale")]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_without_numbers_there_is_no_value_but_the_reason(fault: Exception, running: Running, source: Source) -> None:
    source.fault = fault
    for metadata in (DEPTH, AGE, DRAIN, AHEAD):
        for call in (running.keda.is_active, lambda of: running.keda.metrics(of, "")):
            code, said = _refused(lambda call=call, metadata=metadata: call(ref(**metadata)))
            assert code is grpc.StatusCode.UNAVAILABLE
            assert said == f"the numbers of the pool 'images' cannot be read now: {fault}"
    assert running.keda.metric_spec(ref(**DEPTH)), "the target needs no numbers"


def test_a_mistake_of_ours_is_no_value_either(running: Running, source: Source) -> None:
    source.fault = RuntimeError("unexpected")
    assert _refused(lambda: running.keda.metrics(ref(**DRAIN), ""))[0] is grpc.StatusCode.UNKNOWN
    assert _refused(lambda: running.keda.is_active(ref(**DRAIN)))[0] is grpc.StatusCode.UNKNOWN
    assert _refused(lambda: next(running.keda.stream_is_active(ref(**DRAIN))))[0] is grpc.StatusCode.UNKNOWN


def test_a_port_that_is_taken_stops_the_start(running: Running, folder: Path, source: Source) -> None:
    second = Server(Service(Folder(folder), source, 1), f"127.0.0.1:{running.port}")
    with pytest.raises(ConfigurationError, match=f"--listen: 127.0.0.1:{running.port} cannot be had"):
        asyncio.run(second.start())


def test_what_is_no_number_is_not_told(running: Running, source: Source) -> None:
    source.numbers = BUSY._replace(service_mean=float("nan"))
    assert _refused(lambda: running.keda.metrics(ref(**DRAIN), ""))[0] is grpc.StatusCode.UNAVAILABLE


def test_numbers_that_do_not_come_are_not_waited_for(
    running: Running, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler.keda.service.ANSWER_SECONDS", 0.05)
    source.gate.clear()
    for _ in range(3):
        code, said = _refused(lambda: running.keda.is_active(ref(**DEPTH)))
        assert code is grpc.StatusCode.UNAVAILABLE
        assert "did not come within 0.05 s" in said
    assert source.asked == 1, "each call took a thread of its own"


def test_a_reason_of_many_lines_and_letters_fits_into_a_status(running: Running, source: Source) -> None:
    source.fault = DatabaseUnavailable("Größe\n" * 10_000)
    assert "Größe" in _refused(lambda: running.keda.is_active(ref(**DEPTH)))[1]


def _refused(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    return error.code(), error.details()
