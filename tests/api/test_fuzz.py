"""The published document, taken at its word: no request that it allows, or forbids, gets an answer it does not show."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from schemathesis.engine import StopReason, events, from_schema
from schemathesis.schemas import BaseSchema

from storage import queues
from storage.database import Database, PlatformTx
from tests.api.conftest import Api, seen
from tests.api.deciding import decide
from tests.api.serving import served, settings
from tests.api.working import working

# Longer, by hand: FUZZ_EXAMPLES=300 pytest --timeout=0 tests/api/test_fuzz.py
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "2"))
PAUSE = queues.pause

SUBMITTING = {
    "include-name": "POST /v1/jobs",
    # What JSON Schema cannot say is refused by 415 and 422: whether a step finds a file, whether `use` names a step and
    # goes round in circles, whether names differ, whether a bare file comes with its template.
    "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", "409", "415", "422"]}},
}
# Nor all of that for each of many jobs, of which one at least has to be good.
BATCHING = {
    "include-name": "POST /v1/batches",
    "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", "409", "413", "415", "422"]}},
}
RETRYING = {
    "include-name": "POST /v1/jobs/{job_id}/retry",
    # Nor which steps the job has, and what their kinds take.
    "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", "404", "409", "422"]}},
}
FINDING = {
    "include-name": "GET /v1/similar",
    # Nor that exactly one of two parameters has to be given, and what goes with which.
    "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", "404", "422"]}},
}
# Nor what a cron pattern, a time or a zone is, that jitter is no longer than an interval, and which names are taken.
SCHEDULING = [
    {
        "include-name": f"POST /v1/schedules{route}",
        "checks": {
            "positive_data_acceptance": {"expected-statuses": ["2xx", "404", "409", "422"]},
            "negative_data_rejection": {"expected-statuses": ["400", "404", "409", "413", "415", "422"]},
        },
    }
    for route in ("", "/preview", "/{schedule_id}/backfill")
]
CHANGING = {
    "include-name": "PATCH /v1/schedules/{schedule_id}",
    # Nor that If-Match, if it is not left out, is the version that stands.
    "checks": {
        "positive_data_acceptance": {"expected-statuses": ["2xx", "404", "409", "412", "422", "428"]},
        "negative_data_rejection": {"expected-statuses": ["400", "404", "409", "412", "413", "415", "422", "428"]},
    },
}
# What is far too long is refused before it is read.
KEEPING = {
    "include-name": "PUT /v1/secrets/{name}",
    "checks": {"negative_data_rejection": {"expected-statuses": ["400", "404", "409", "413", "415", "422"]}},
}
UNMAKING = {
    "include-name": "DELETE /v1/schedules/{schedule_id}",
    "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", "404", "412"]}},
}
# Nor which addresses may be reached, and whether the Idempotency-Key was used for something else.
HOOKING = [
    {"include-name": name, "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", "404", "409", "422"]}}}
    for name in (
        "POST /v1/webhooks",
        "PATCH /v1/webhooks/{webhook_id}",
        "POST /v1/webhooks/{webhook_id}/test",
        "POST /v1/webhooks/{webhook_id}/rotate-secret",
        "POST /v1/webhooks/{webhook_id}/redeliver",
        "POST /v1/jobs/{job_id}/deliveries/{delivery_id}/redeliver",
        "POST /v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver",
        "POST /v1/secrets",
        "POST /v1/uploads",
        "POST /v1/image-keys",
    )
]

TEMPLATING = {
    "include-name": "PUT /v1/templates/{name}",
    # Nor where pointers lead, which names ship, and whether every value that is allowed makes a job.
    "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", "409", "422"]}},
}

# Nor which keys are good, and that pages of another origin sign nobody in; who tries too often has to wait.
SIGNING_IN = {
    "include-name": "POST /v1/session",
    "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", "401", "429"]}},
}

CONFIG: dict[str, Any] = {
    "seed": 1,
    "generation": {"deterministic": True, "max-examples": EXAMPLES, "no-shrink": True},
    "phases": {"stateful": {"generation": {"max-examples": EXAMPLES // 2}, "max-steps": 4}},
    "continue-on-failure": True,
    "request-timeout": 15.0,
    "max-stream-events": 20,
    "operations": [
        SUBMITTING,
        BATCHING,
        RETRYING,
        FINDING,
        *SCHEDULING,
        CHANGING,
        UNMAKING,
        KEEPING,
        *HOOKING,
        TEMPLATING,
        SIGNING_IN,
    ],
}


def pause_for_a_moment(tx: PlatformTx, name: str) -> None:
    """A queue that stays paused would keep its jobs, and whoever watches them, waiting for ever."""
    PAUSE(tx, name)
    queues.resume(tx, name)


def name_of(api: Api) -> str:
    with api.database.platform_read() as tx:
        return str(tx.sql("SELECT name FROM tenants WHERE id = %(id)s", id=api.acme.tenant).scalar_one())


@pytest.fixture
def own_api(database_url: str, database: Database, broker_url: str) -> Iterator[Api]:
    """With a store of sign-ins."""
    chosen = settings(database_url, {"CACHE_URL": broker_url})
    with served(chosen) as running, seen(running, database) as api:
        yield api


@pytest.fixture
def published(own_api: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[BaseSchema]:
    """The document, as the server publishes it, before a platform whose steps all succeed."""
    monkeypatch.setattr(queues, "pause", pause_for_a_moment)
    decide(own_api.database)
    key = own_api.key(own_api.acme, "jobs:read", "jobs:write", "operate")
    headers = {"Authorization": f"Bearer {key}"}
    # Operators may name a tenant with nearly all that they ask, and hardly any name is one.
    named = {"query.tenant": name_of(own_api)}
    config = schemathesis.Config.from_dict({**CONFIG, "headers": headers, "parameters": named})
    with working(own_api):
        # But the stream that never ends: each request for it would be waited for until its timeout.
        yield schemathesis.openapi.from_url(f"{own_api.url}/openapi.json", config=config).exclude(
            path="/v1/webhooks/listen"
        )


@pytest.mark.timeout(400)  # a minute, where nothing else runs
def test_no_answer_is_outside_the_document(published: BaseSchema) -> None:
    wrong: dict[str, str] = {}
    asked = 0
    for event in from_schema(published).execute():
        match event:
            case events.ScenarioFinished():
                asked += len(event.recorder.interactions)
                wrong |= flaws(event)
            case events.NonFatalError():
                wrong[event.label] = str(event.info)
            case events.FatalError():
                raise event.exception
            case events.EngineFinished():
                assert event.stop_reason is StopReason.COMPLETED
    assert not wrong, "\n\n".join(f"{what}\n{how}" for what, how in wrong.items())
    assert asked > EXAMPLES * len(published.raw_schema["paths"])


def flaws(event: events.ScenarioFinished) -> dict[str, str]:
    """What failed and how to see it again, one of each sort."""
    found: dict[str, str] = {}
    for checks in event.recorder.checks.values():
        for check in checks:
            if check.failure_info is not None:
                failure = check.failure_info.failure
                found[f"{event.recorder.label}: {failure.title}"] = (
                    f"{failure.message}\n{check.failure_info.code_sample}"
                )
    return found
