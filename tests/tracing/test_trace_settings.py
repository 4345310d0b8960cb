"""What OpenTelemetry's variables mean here, and traceparents."""

import pytest

from storage.errors import ConfigurationError
from storage.telemetry.trace_context import in_same_trace, is_sampled, parse, span_id_of, trace_id_of
from storage.telemetry.trace_settings import from_env

AT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {**AT, "OTEL_SDK_DISABLED": "true"},
        {**AT, "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_nothing_is_sent_where_nobody_asked_for_it(env: dict[str, str]) -> None:
    assert from_env(env) is None


@pytest.mark.parametrize(
    ("env", "endpoint"),
    [
        (AT, "http://collector:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://host/otlp/"}, "https://host/otlp/v1/traces"),
        ({**AT, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://host/own"}, "https://host/own"),
    ],
)
def test_the_endpoint_of_all_signals_gets_the_path_of_traces(env: dict[str, str], endpoint: str) -> None:
    found = from_env(env)
    assert found is not None
    assert found.endpoint == endpoint


def test_headers_and_resource_are_decoded_and_the_service_name_wins() -> None:
    found = from_env(
        {
            **AT,
            "OTEL_EXPORTER_OTLP_HEADERS": "Api-Key=a%20b, x=1=2",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=staging,service.name=no",
            "OTEL_SERVICE_NAME": "mine",
        }
    )
    assert found is not None
    assert found.headers == {"api-key": "a b", "x": "1=2"}
    assert found.resource == {"deployment.environment": "staging", "service.name": "mine"}


@pytest.mark.parametrize(
    ("env", "ratio", "follows"),
    [
        ({}, 1.0, True),
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}, 0.01, True),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}, 0.5, False),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, 0.0, False),
    ],
)
def test_samplers(env: dict[str, str], ratio: float, follows: bool) -> None:
    found = from_env({**AT, **env})
    assert found is not None
    assert (found.ratio, found.follows_parent) == (ratio, follows)


@pytest.mark.parametrize(
    ("env", "named"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:port"}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ({**AT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL"),
        ({**AT, "OTEL_EXPORTER_OTLP_COMPRESSION": "zip"}, "OTEL_EXPORTER_OTLP_COMPRESSION"),
        ({**AT, "OTEL_EXPORTER_OTLP_TIMEOUT": "10000"}, "OTEL_EXPORTER_OTLP_TIMEOUT"),
        ({**AT, "OTEL_EXPORTER_OTLP_HEADERS": "secret"}, "OTEL_EXPORTER_OTLP_HEADERS"),
        ({**AT, "OTEL_TRACES_SAMPLER": "jaeger"}, "OTEL_TRACES_SAMPLER"),
        ({**AT, "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "2"}, "OTEL_TRACES_SAMPLER_ARG"),
        ({**AT, "OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER"),
        ({**AT, "OTEL_PROPAGATE_OUTBOUND": "maybe"}, "OTEL_PROPAGATE_OUTBOUND"),
        ({**AT, "OTEL_BSP_SCHEDULE_DELAY": "0"}, "OTEL_BSP_SCHEDULE_DELAY"),
    ],
)
def test_a_bad_value_is_named_and_a_secret_is_not_shown(env: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{named} must") as raised:
        from_env(env)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "raw",
    [
        None,
        "",
        "nonsense",
        PARENT.upper(),
        "ff" + PARENT[2:],
        PARENT + "-more",
        "00-" + 32 * "0" + "-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-" + 16 * "0" + "-01",
    ],
)
def test_what_is_no_traceparent_points_nowhere(raw: str | None) -> None:
    assert (parse(raw), trace_id_of(raw), is_sampled(raw), in_same_trace(raw or "", 1)) == (None, None, False, None)


def test_a_traceparent_of_a_later_version_is_read() -> None:
    found = parse("cc" + PARENT[2:] + "-what-comes")
    assert found is not None
    assert found == parse(PARENT)
    assert (trace_id_of(PARENT), found.is_sampled) == ("0af7651916cd43dd8448eb211c80319c", True)
    assert not is_sampled(PARENT[:-2] + "02"), "random, but not sampled"


def test_ids_of_spans_follow_from_what_they_stand_for() -> None:
    first = span_id_of("step", "stp_1", 1)
    assert first == span_id_of("step", "stp_1", 1)
    others = {span_id_of("step", "stp_1", 2), span_id_of("wait", "stp_1", 1), span_id_of("step", "stp_11", 1)}
    assert len(others - {first}) == 3
    assert in_same_trace(PARENT, first) == f"{PARENT[:36]}{first:016x}-01"
