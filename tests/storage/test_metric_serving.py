"""Where processes serve their numbers; real ones are asked in tests/tasks, tests/scheduler and tests/api."""

import socket
from pathlib import Path

import pytest

from storage.errors import ConfigurationError
from storage.telemetry import metric_store, serving
from storage.telemetry.settings import TelemetrySettings, from_env


def chosen(**changes: object) -> TelemetrySettings:
    return TelemetrySettings(role="scheduler", name="scheduler@a/1", version="1", **changes)  # type: ignore[arg-type]


def test_a_port_that_is_taken_is_said_with_the_names_of_the_variables() -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    with taken, pytest.raises(ConfigurationError, match=r"^METRICS_PORT, METRICS_HOST: ") as caught:
        serving.set_up(chosen(metrics_port=taken.getsockname()[1]))
    assert "\n" not in str(caught.value)


def test_without_a_port_nothing_is_served_and_nothing_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metric_store, "_here", metric_store._Here())
    assert serving.set_up(chosen()) is None
    assert not metric_store._here.is_on


def test_the_http_process_counts_and_serves_no_port_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(metric_store, "_here", metric_store._Here())
    found = from_env({"METRICS_PORT": "0", "METRICS_DIR": str(tmp_path)}, "api")
    assert serving.set_up(found) is None
    assert (metric_store._here.is_on, metric_store._here.folder) == (True, tmp_path)
    with pytest.raises(ConfigurationError, match="METRICS_DIR"):
        from_env({"METRICS_DIR": str(tmp_path / "none")}, "api")


@pytest.mark.parametrize(
    ("host", "written"),
    [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("metrics.example", "metrics.example")],
)
def test_others_are_told_a_host_that_they_can_write_into_a_url(host: str, written: str) -> None:
    assert serving._written(host) == written


@pytest.mark.parametrize("everywhere", ["0.0.0.0", "::"])
def test_who_listens_everywhere_is_reached_by_the_name_of_the_machine(everywhere: str) -> None:
    assert serving._written(everywhere) == socket.gethostname()
