"""Spans of one process: what is told, what it costs nobody, and what becomes of a collector that is away."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from storage.model import JobId, TenantId
from storage.telemetry import trace_sending, trace_webhooks, traces
from storage.telemetry.settings import from_env
from storage.telemetry.trace_context import parse
from storage.webhook_model import Claimed, Delivery, DeliveryId, DeliveryState, EventType
from tests.tracing.collector import Collector, collector, tree

SETTINGS = from_env({}, "test")


@pytest.fixture
def told() -> Iterator[Collector]:
    with collector() as state:
        yield state


@contextmanager
def telling(told: Collector, **env: str) -> Iterator[None]:
    """Spans go to the collector; all of them are there at the end of the block, if they can be."""
    traces.set_up(SETTINGS, {"OTEL_EXPORTER_OTLP_ENDPOINT": told.endpoint, **env})
    try:
        yield
    finally:
        traces.close()


def test_without_an_endpoint_nothing_is_made() -> None:
    traces.set_up(SETTINGS, {})
    with traces.span("a", root=True) as span:
        span.set(a=1)
        span.fail("so")
        assert (span.traceparent, span.is_recording, traces.traceparent(), traces.outgoing()) == (None, False, None, {})
    assert traces.span("a", root=True) is traces.span("b")


def test_spans_nest_and_fail_by_the_type_of_what_leaves_them(told: Collector) -> None:
    with telling(told):
        outer = _fail()
        with traces.span("far", parent=outer, links=[outer or ""], span_id=7):
            pass
    [root] = told.named("outer")
    assert tree(told.spans, root) == {"inner": {}, "far": {}}
    assert (root.kind, root.service) == ("server", "millrace-test")
    assert root.attributes == {"http.route": "/x", "error.type": "ValueError"}
    assert all(span.failed for span in told.named("outer", "inner"))
    [far] = told.named("far")
    assert (far.id, far.links, far.failed) == (f"{7:016x}", (root.id,), False)
    assert "s3cr3t" not in repr(told.spans)


def _fail() -> str | None:
    """Fail in a span within another one, whose traceparent this returns."""
    found = None
    with suppress(ValueError), traces.span("outer", kind="server", root=True) as outer:
        outer.set(http__route="/x", nothing=None)
        found = outer.traceparent
        with traces.span("inner", attributes={"n": 1}):
            raise ValueError("s3cr3t")
    return found


def test_what_is_below_nothing_is_not_told(told: Collector) -> None:
    with telling(told):
        with traces.span("object read", kind="client") as span:
            assert span.traceparent is None
        with traces.span("step", parent="nonsense") as span:
            assert span.traceparent is None
    assert told.spans == []


def test_the_decision_at_the_root_holds_below_it(told: Collector) -> None:
    with telling(told, OTEL_TRACES_SAMPLER="parentbased_always_off"):
        with traces.span("root", root=True) as root, traces.span("below"), traces.span("job", root=True) as job:
            assert (root.is_recording, root.traceparent, job.traceparent, traces.traceparent()) == (False, *[None] * 3)
        callers = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
        with traces.span("below a caller's", parent=callers), traces.span("job", root=True) as job:
            place = parse(job.traceparent)
            assert place is not None  # whose decision it is has to be known further on
            assert (place.is_sampled, traces.is_wanted(job.traceparent)) == (False, False)
        with traces.span("below another's", parent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"):
            pass
    assert [span.name for span in told.spans] == ["below another's"]


def test_of_the_traces_that_begin_here_a_share_is_kept_whole_and_by_their_ids(told: Collector) -> None:
    with telling(told, OTEL_TRACES_SAMPLER="parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG="0.5"):
        for _ in range(200):
            with traces.span("root", root=True), traces.span("below"):
                pass
    assert 60 < len(told.named("root")) < 140, "of 10^8 runs one is outside"
    assert len(told.named("root")) == len(told.named("below"))
    assert all(int(span.trace[16:], 16) < 2**63 for span in told.spans), "as others decide who see the same ids"


def test_a_traceparent_goes_out_only_if_the_operator_wants_that(told: Collector) -> None:
    with telling(told), traces.span("call", root=True):
        assert traces.outgoing() == {}
    with telling(told, OTEL_PROPAGATE_OUTBOUND="1"), traces.span("call", root=True) as span:
        assert traces.outgoing() == {"traceparent": span.traceparent}


def test_each_try_of_a_webhook_has_links_to_those_before_it(told: Collector) -> None:
    now = datetime.now(UTC)
    delivery = Delivery(
        tenant_id=TenantId("ten_1"),
        id=DeliveryId("dlv_1"),
        endpoint_id=None,
        url="https://app.example/hook",
        lane="l",
        type=EventType.JOB_SUCCEEDED,
        message_id="m",
        job_id=JobId("job_1"),
        data={},
        happened_at=now,
        state=DeliveryState.PENDING,
        next_at=now,
        tries=0,
        log=(),
        body=None,
        ended_at=None,
    )
    with telling(told), traces.span("job", root=True) as job:
        for tries, status in ((0, 500), (1, None), (2, 204)):
            claimed = Claimed(delivery=replace(delivery, tries=tries), claim=1, endpoint=None, body_bytes=None)
            with trace_webhooks.trying(claimed, job.traceparent) as span:
                trace_webhooks.told(span, status=status, is_delivered=status == 204)
    first, second, third = told.named("webhook job.succeeded")
    assert [one.links for one in (first, second, third)] == [(), (first.id,), (first.id, second.id)]
    assert [one.attributes.get("error.type") for one in (first, second, third)] == ["500", "no_answer", None]
    assert {one.parent for one in (first, second, third)} == {told.named("job")[0].id}


def test_a_collector_that_hangs_holds_up_nothing_and_what_is_lost_is_counted(
    told: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    told.hang = threading.Event()
    many = trace_sending.MOST + 2 * trace_sending.BATCH
    with telling(told):
        for _ in range(many):
            with traces.span("one of many", root=True):
                pass
        assert 0 < traces.lost() <= many - trace_sending.MOST
    assert told.spans == []
    [line] = [record for record in caplog.records if str(record.msg).startswith("traces.lost")]
    assert f"since_start={many}" in line.getMessage()


def test_a_collector_that_refuses_is_told_of_once(told: Collector, caplog: pytest.LogCaptureFixture) -> None:
    told.status = 401
    with telling(told):
        for _ in range(3 * trace_sending.BATCH):
            with traces.span("one of many", root=True):
                pass
    said = [record for record in caplog.records if "401" in record.getMessage()]
    assert len(said) <= 1
    assert any("traces.lost" in str(record.msg) for record in caplog.records)


def test_a_forked_child_tells_its_own_spans_and_no_other(told: Collector) -> None:
    code = f"""
import os
from storage.telemetry import traces
from storage.telemetry.settings import from_env
traces.set_up(from_env({{}}, "forked"), {{"OTEL_EXPORTER_OTLP_ENDPOINT": {told.endpoint!r}}})
with traces.span("of the parent, sent", root=True): pass
traces._Here.tracing.sending.force_flush()
with traces.span("of the parent, waiting", root=True): pass
child = os.fork()
with traces.span("of the child" if child == 0 else "of the parent, later", root=True): pass
traces.close()
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
    names = ["of the child", "of the parent, later", "of the parent, sent", "of the parent, waiting"]
    assert sorted(span.name for span in told.spans) == names
    assert len({span.trace for span in told.spans}) == 4


def test_without_the_extra_the_work_goes_on_and_it_is_said() -> None:
    code = """
import logging, sys
class Away:
    def find_spec(self, name, path=None, target=None):
        if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter")):  # the API comes with FastAPI
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Away())
logging.basicConfig(format="%(message)s")
from storage.telemetry import traces
from storage.telemetry.settings import from_env
import tasks.base, scheduler.relay
traces.set_up(from_env({}, "bare"), {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})
with traces.span("a", root=True) as span:
    assert span.traceparent is None
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True, text=True)
    assert done.stderr.strip() == "traces.off reason=the extra otel is not installed"
