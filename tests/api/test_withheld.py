"""A job that a condition on a result has ended, as its owner sees it: a reason, and no outputs, from that moment on."""

import pytest

from storage import stops
from storage.keys import output_key
from storage.model import Claim, Job
from tests.api.conftest import Api
from tests.api.refusing import assert_problem
from tests.api.storing import in_store, once
from tests.api.working import give_up, shown, start, states, succeed
from tests.documents import put_in

OUTPUT = {"name": "small", "bytes": 5, "content_type": "image/png"}
DOCUMENT = {
    "steps": {
        "look": {"kind": "echo", "stop_when": {"condition": "data.nsfw > 0.8", "code": "moderation_rejected"}},
        "thumbs": {"kind": "echo"},
        "slow": {"kind": "echo"},
    }
}


@pytest.fixture
def made(api: Api) -> tuple[Api, Job, Claim]:
    """A job with an output, and a step that still runs."""
    job = put_in(api.database, api.acme.tenant, DOCUMENT)
    key = output_key(api.acme.tenant, job.id, job.steps[1].id, 1, "small")
    in_store(api, lambda objects: objects.put(key, once(b"bytes"), content_type="image/png"))
    succeed(api, start(api, job, "thumbs"), {"outputs": [OUTPUT]})
    return api, job, start(api, job, "slow")


def reject(api: Api, job: Job) -> None:
    claim = start(api, job, "look")
    with api.database.begin(claim.tenant_id) as tx:
        stops.reject(tx, claim, {"data": {"nsfw": 0.9}})


def test_outputs_are_withheld_while_the_job_is_still_stopping(made: tuple[Api, Job, Claim]) -> None:
    api, job, slow = made
    path = f"/v1/jobs/{job.id}/outputs/thumbs/small"
    assert api.acme.get(path).status_code == 200
    reject(api, job)
    document = shown(api, job)
    assert (document["state"], document["stopping"]) == ("running", "failed")
    assert document["steps"]["thumbs"]["result"] == {}
    for query in ("", "?redirect=true"):
        answer = api.acme.get(path + query)
        assert_problem(answer.status_code, answer.headers, answer.json(), (410, "outputs_withheld"))
    give_up(api, slow)
    document = shown(api, job)
    assert (document["state"], document["error"]["code"]) == ("failed", "moderation_rejected")
    assert document["steps"]["look"]["result"] == {"data": {"nsfw": 0.9}}
    assert states(api, job) == {"look": "failed", "thumbs": "succeeded", "slow": "canceled"}
    assert api.acme.get(path).status_code == 410


def test_another_tenant_learns_nothing_of_it(made: tuple[Api, Job, Claim]) -> None:
    api, job, _ = made
    reject(api, job)
    answer = api.other.get(f"/v1/jobs/{job.id}/outputs/thumbs/small")
    assert_problem(answer.status_code, answer.headers, answer.json(), (404, "not_found"))


def test_a_condition_is_checked_at_the_door(api: Api) -> None:
    flawed = {"steps": {"look": {"kind": "echo", "stop_when": "data.nsfw => 0.8"}}}
    answer = api.acme.post(json=flawed)
    assert answer.status_code == 422
    [flaw] = answer.json()["errors"]
    assert flaw["pointer"] == "/steps/look/stop_when"
    assert "character 11" in flaw["detail"]
