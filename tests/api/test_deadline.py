"""Deadlines: nothing starts after them, what runs is stopped, and the job ends as expired."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from scheduler.reap import expire_once
from storage.model import Job
from tests.api.conftest import Api
from tests.api.refusing import assert_problem, leaving_nothing
from tests.api.storing import put_output, sweep
from tests.api.stream import watching
from tests.api.working import give_up, is_stopped, shown, start, states, succeed, types
from tests.documents import CHAIN, ECHO, put_in, take

HOUR = {"deadline_seconds": 3600}
OUTPUT = {"name": "small", "width": 3, "height": 2, "bytes": 7, "content_type": "image/png"}


def pass_deadline(api: Api, job: Job) -> None:
    with api.database.begin(api.acme.tenant) as tx:
        asked = "UPDATE jobs SET deadline_at = now() - interval '1 s' WHERE tenant_id = %(tenant)s AND id = %(job)s"
        tx.sql(asked, job=job.id)


def test_a_job_says_by_when_it_must_have_ended(api: Api) -> None:
    document = api.acme.post(json={**ECHO, "deadline_seconds": 0.5}).json()
    created, deadline = (datetime.fromisoformat(document[name]) for name in ("created_at", "deadline_at"))
    assert deadline - created == timedelta(seconds=0.5)
    assert api.acme.post(json=ECHO).json()["deadline_at"] is None


@pytest.mark.parametrize("seconds", [0, -1, 2_592_001, True, "60", [60]])
def test_a_deadline_that_makes_no_sense_is_refused(api: Api, seconds: Any) -> None:
    with leaving_nothing(api):
        answer = api.acme.post(json={**ECHO, "deadline_seconds": seconds})
        assert_problem(answer.status_code, answer.headers, answer.json(), (422, "invalid_job"), ["/deadline_seconds"])


def test_nothing_of_an_overdue_job_starts_and_it_ends_as_expired(api: Api) -> None:
    job = put_in(api.database, api.acme.tenant, {**CHAIN, **HOUR})
    in_time = put_in(api.database, api.acme.tenant, {**ECHO, **HOUR})
    pass_deadline(api, job)
    assert take(api.database, api.acme.tenant, job, "first") is None
    with watching(api.acme, job.id) as stream:
        assert next(stream).type == "job.queued"
        expire_once(api.database)
        assert stream.types() == [*["step.expired"] * 3, "job.expired"]
    document = shown(api, job)
    assert (document["state"], document["error"]["code"]) == ("expired", "deadline_passed")
    assert {step["state"] for step in document["steps"].values()} == {"expired"}
    assert shown(api, in_time)["state"] == "queued"


def test_a_step_that_runs_past_the_deadline_is_stopped(api: Api) -> None:
    job = put_in(api.database, api.acme.tenant, {**CHAIN, **HOUR})
    claim = start(api, job, "first")
    pass_deadline(api, job)
    assert not is_stopped(api, claim)
    expire_once(api.database)
    assert is_stopped(api, claim)
    assert (shown(api, job)["state"], shown(api, job)["stopping"]) == ("running", "expired")
    assert states(api, job) == {"first": "running", "second": "expired", "third": "expired"}
    give_up(api, claim)
    (attempt,) = shown(api, job)["steps"]["first"]["attempts"]
    assert (attempt["outcome"], attempt["error"]["code"]) == ("canceled", "deadline_passed")
    assert types(api, job)[-2:] == ["step.expired", "job.expired"]
    assert api.acme.ask("POST", f"/v1/jobs/{job.id}/cancel").json()["code"] == "job_ended"


def test_what_an_expired_job_had_made_stays(api: Api) -> None:
    job = put_in(api.database, api.acme.tenant, {**CHAIN, **HOUR})
    claim = start(api, job, "first")
    put_output(api, claim, b"picture")
    succeed(api, claim, {"outputs": [OUTPUT]})
    pass_deadline(api, job)
    expire_once(api.database)
    sweep(api)
    assert shown(api, job)["state"] == "expired"
    assert api.acme.get(f"/v1/jobs/{job.id}/outputs/first/small").content == b"picture"


def test_a_cancel_that_came_first_decides_how_the_job_ends(api: Api) -> None:
    job = put_in(api.database, api.acme.tenant, {**ECHO, **HOUR})
    claim = start(api, job)
    assert api.acme.ask("POST", f"/v1/jobs/{job.id}/cancel").status_code == 202
    pass_deadline(api, job)
    expire_once(api.database)
    give_up(api, claim)
    assert shown(api, job)["state"] == "canceled"


def test_an_expired_job_runs_again_with_all_its_time(api: Api) -> None:
    job = put_in(api.database, api.acme.tenant, {**CHAIN, **HOUR})
    succeed(api, start(api, job, "first"), "done")
    pass_deadline(api, job)
    expire_once(api.database)
    again = api.acme.ask("POST", f"/v1/jobs/{job.id}/retry")
    assert again.status_code == 202
    assert states(api, job) == {"first": "succeeded", "second": "queued", "third": "waiting"}
    expire_once(api.database)
    assert take(api.database, api.acme.tenant, job, "second") is not None


def test_a_job_that_ended_in_time_does_not_expire(api: Api) -> None:
    job = put_in(api.database, api.acme.tenant, {**ECHO, **HOUR})
    succeed(api, start(api, job))
    pass_deadline(api, job)
    expire_once(api.database)
    assert shown(api, job)["state"] == "succeeded"
