"""One job is one trace: from the request over relay, queue and steps to third parties and the webhook."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import psutil

from tests.scheduler.sentry_server import Sentry
from tests.sink import Answer, Sink
from tests.tracing.collector import Collector, Span, below, tree
from tests.tracing.running import Platform
from tests.waiting import until

SLACK = 0.5  # seconds: processes tell how long ago something began, and may have had to wait before they could
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def submit(traced: Platform, document: dict[str, Any], file: bytes | None = None, **headers: str) -> str:
    if file is None:
        answer = traced.http.post("/v1/jobs", json=document, headers=headers)
    else:
        files = {"file": ("it.jpg", file, "image/jpeg")}
        answer = traced.http.post("/v1/jobs", data={"job": json.dumps(document)}, files=files, headers=headers)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def whole(telling: Collector, job_id: str, *, last: str, count: int) -> list[Span]:
    """The job's trace, once `last` is there and as many spans as the test waits for."""

    def look() -> list[Span] | None:
        spans = telling.trace_of("millrace.job", job_id)
        return spans if len(spans) >= count and any(span.name == last for span in spans) else None

    return until(look)


def only(spans: list[Span], name: str) -> Span:
    [found] = [span for span in spans if span.name == name]
    return found


def test_a_job_is_one_tree_from_its_request_to_its_webhook(
    traced: Platform, telling: Collector, hook: Sink, photos: Path
) -> None:
    hook.answers = [Answer(status=500), Answer(body=b"made"), Answer(status=204, body=b"")]
    call = {"kind": "http.call", "url": f"{hook.url}?token=s3cr3t", "use": ["info"], "answer": {"store_as": "output"}}
    document = {
        "steps": {"info": {"kind": "image.info"}, "call": call},
        "notify": {"url": f"{hook.url}/done", "events": ["job.succeeded"]},
    }
    job_id = submit(traced, document, (photos / "rocket.jpg").read_bytes(), traceparent=CALLER)
    spans = whole(telling, job_id, last="webhook job.succeeded", count=16)
    assert {span.trace for span in spans} == {CALLER.split("-")[1]}
    request = only(spans, "POST /v1/jobs")
    assert (request.parent, request.kind, request.service) == (CALLER.split("-")[2], "server", "millrace-api")
    assert request.attributes["http.response.status_code"] == 202
    job = only(spans, "job")
    assert (job.kind, job.service, job.parent) == ("producer", "millrace-api", request.id)
    host = "127.0.0.1"
    assert tree(spans, job) == {
        "wait images": {"send images": {}},
        "step image.info": {"object read": {}},
        "wait calls": {"send calls": {}},
        "wait calls #2": {"send calls": {}},
        "step http.call": {f"POST {host}": {}},
        "step http.call #2": {f"POST {host}": {}, "object write": {}},
        "webhook job.succeeded": {f"POST {host}": {}},
    }
    assert_services(spans)
    assert_times(spans, job)
    first, second = (span for span in below(spans, job) if span.name == "step http.call")
    assert (first.links, second.links) == ((), (first.id,))
    assert (first.failed, first.attributes["millrace.outcome"]) == (True, "retrying")
    assert (second.failed, second.attributes["millrace.outcome"]) == (False, "succeeded")
    assert (second.attributes["millrace.attempt"], second.attributes["millrace.tenant"]) == (2, traced.tenant_id)
    assert "s3cr3t" not in repr(spans)
    assert hook.url.removeprefix(f"http://{hook.host}") not in repr(spans), "paths may bear secrets"
    lines = traced.logged("worker", job_id)
    assert "step.ended" in {line["event"] for line in lines}
    assert {line["trace"] for line in lines if "step" in line} == {job.trace}
    joined = [got.headers["traceparent"] for got in hook.received]
    calls = [*below(spans, first), *below(spans, second), *below(spans, only(spans, "webhook job.succeeded"))]
    assert joined == [
        f"00-{span.trace}-{span.id}-01" for span in calls if span.kind == "client" and span.name[0] == "P"
    ]
    assert telling.headers[-1]["x-api-key"] == "abc="


def assert_services(spans: list[Span]) -> None:
    """Each span comes from the process that did it."""
    begins = {"send": "scheduler", "webhook": "scheduler", "wait": "worker", "step": "worker", "object": "worker"}
    of_steps = {span.name: span.service for span in spans if span.name.partition(" ")[0] in begins}
    assert of_steps == {name: f"millrace-{begins[name.partition(' ')[0]]}" for name in of_steps}


def assert_times(spans: list[Span], job: Span) -> None:
    """A wait ends where its step begins, and the relay's part of it lies within."""
    for wait in (span for span in spans if span.name.startswith("wait ")):
        [send] = below(spans, wait)
        assert wait.began - SLACK <= send.began <= send.ended <= wait.ended + SLACK
        of_attempt = (wait.attributes["millrace.step"], wait.attributes["millrace.attempt"])
        [step] = [
            span
            for span in below(spans, job)
            if span.name.startswith("step ")
            and (span.attributes["millrace.step"], span.attributes["millrace.attempt"]) == of_attempt
        ]
        assert wait.ended <= step.began <= wait.ended + 1


def test_an_attempt_whose_process_was_killed_is_told_of_and_linked_to(traced: Platform, telling: Collector) -> None:
    job_id = submit(traced, {"steps": {"say": {"kind": "echo", "sleep_seconds": 60}}})

    def slot() -> int | None:
        with traced.database.platform_read() as tx:
            asked = "SELECT slot FROM steps WHERE job_id = %(job)s AND state = 'running' AND attempt = 1"
            found: int | None = tx.sql(asked, job=job_id).scalar_one_or_none()
        return found

    os.kill(until(slot), signal.SIGKILL)
    lost = until(lambda: [one for one in telling.named("step echo") if one.attributes["millrace.job"] == job_id])[0]
    assert (lost.attributes["millrace.outcome"], lost.failed, lost.attributes["millrace.attempt"]) == ("lost", True, 1)
    until(lambda: traced.http.get(f"/v1/jobs/{job_id}").json()["steps"]["say"]["attempt"] == 2)
    assert traced.http.post(f"/v1/jobs/{job_id}/cancel").status_code in (200, 202)
    second = until(
        lambda: [
            one
            for one in telling.named("step echo")
            if one.attributes["millrace.job"] == job_id and one.attributes["millrace.attempt"] == 2
        ],
        seconds=30,
    )[0]
    assert second.links == (lost.id,)
    assert second.attributes["millrace.outcome"] == "stopped"


def test_a_step_that_kills_its_workers_is_told_by_what_is_left_of_them(traced: Platform, sentry: Sentry) -> None:
    job_id = submit(traced, {"steps": {"die": {"kind": "test.die"}}})
    assert traced.http.get(f"/v1/jobs/{job_id}", params={"wait": 20}).json()["error"]["code"] == "step_failed"
    [event] = until(lambda: list(sentry.events))
    assert event["fingerprint"] == ["test.die", "poison", "worker_lost"]
    assert (event["tags"]["role"], event["tags"]["job"]) == ("worker", job_id)


def test_a_caller_that_does_not_sample_has_none_of_it_told(traced: Platform, telling: Collector) -> None:
    quiet = submit(traced, {"steps": {"say": {"kind": "echo"}}}, traceparent=CALLER[:-2] + "00")
    told = submit(traced, {"steps": {"say": {"kind": "echo"}}})
    assert traced.http.get(f"/v1/jobs/{quiet}", params={"wait": 20}).json()["state"] == "succeeded"
    whole(telling, told, last="step echo", count=4)
    assert telling.trace_of("millrace.job", quiet) == []


def test_the_firing_of_a_schedule_begins_a_trace(traced: Platform, telling: Collector) -> None:
    made = traced.http.post("/v1/schedules", json={"every": 1, "job": {"steps": {"say": {"kind": "echo"}}}})
    assert made.status_code == 201, made.text
    schedule = made.json()["id"]
    spans = until(lambda: [one for one in telling.trace_of("millrace.schedule", schedule) if one.name == "step echo"])
    assert traced.http.delete(f"/v1/schedules/{schedule}").status_code == 204
    [job] = [one for one in telling.spans if one.trace == spans[0].trace and one.name == "job"]
    assert (job.parent, job.service) == ("", "millrace-scheduler")


def test_a_worker_that_stops_sends_what_it_still_has_to_tell(traced: Platform, telling: Collector) -> None:
    job_id = submit(traced, {"steps": {"say": {"kind": "echo"}}})
    assert traced.http.get(f"/v1/jobs/{job_id}", params={"wait": 20}).json()["state"] == "succeeded"
    worker = traced.processes["worker"]
    children = psutil.Process(worker.pid).children()
    worker.terminate()
    assert worker.wait(60) == 0
    psutil.wait_procs(children, timeout=5)
    assert [one.name for one in telling.trace_of("millrace.job", job_id) if one.name == "step echo"] == ["step echo"]
