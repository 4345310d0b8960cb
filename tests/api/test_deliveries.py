"""What is delivered, told to its owner and sent again: of a webhook and of a job, and of nobody else's."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api import deliveries
from tests.api.conftest import Api
from tests.api.hooked import ask, change, ended, listed, made, try_all
from tests.api.refusing import assert_problem


def tried(api: Api, webhook: Any, **how: Any) -> None:
    try_all(api.database, api.acme.tenant, webhook["id"], **how)


def whole(api: Api, webhook: Any, delivery: Any) -> Any:
    answer = ask(api.acme, "GET", f"/{webhook['id']}/deliveries/{delivery['id']}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def states(api: Api, webhook: Any) -> list[str]:
    return [one["state"] for one in listed(api.acme, webhook)]


def test_a_jobs_end_is_a_delivery_that_waits_and_then_tells_what_was_answered(api: Api) -> None:
    webhook = made(api.acme)
    job = ended(api.acme)
    (waiting,) = listed(api.acme, webhook)
    assert waiting["id"].startswith("dlv_")
    assert waiting["message_id"].startswith("msg_")
    told = {name: waiting[name] for name in ("type", "webhook", "url", "state", "job", "tries", "log", "ended_at")}
    assert told == {
        "type": "job.canceled",
        "webhook": webhook["id"],
        "url": None,
        "state": "pending",
        "job": job,
        "tries": 0,
        "log": [],
        "ended_at": None,
    }
    assert whole(api, webhook, waiting) == waiting | {"payload": None}
    tried(api, webhook, status=None, again_in_seconds=0)
    tried(api, webhook, status=204, body='{"type": "another body"}')
    delivered = whole(api, webhook, waiting)
    assert (delivered["state"], delivered["tries"], delivered["next_at"]) == ("delivered", 2, None)
    assert delivered["ended_at"] is not None
    assert [(one["status"], one["error"], one["seconds"]) for one in delivered["log"]] == [
        (None, "shop.example does not answer", 0.25),
        (204, None, 0.25),
    ]
    assert delivered["payload"] == {"type": "job.canceled"}
    assert "payload" not in listed(api.acme, webhook)[0]


def test_deliveries_are_listed_newest_first_page_by_page_and_by_state(api: Api) -> None:
    webhook = made(api.acme)
    jobs = [ended(api.acme) for _ in range(3)]
    tried(api, webhook, status=500)
    jobs += [ended(api.acme) for _ in range(2)]
    seen: list[str] = []
    cursor = ""
    while True:
        page = ask(api.acme, "GET", f"/{webhook['id']}/deliveries?limit=2{cursor}").json()
        seen += [one["job"] for one in page["data"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == jobs[::-1]
    assert [one["job"] for one in listed(api.acme, webhook, "?state=failed")] == jobs[2::-1]
    assert [one["job"] for one in listed(api.acme, webhook, "?state=pending")] == jobs[:2:-1]
    for query in ("?cursor=dlv_x", "?cursor=whe_01m81xfwczevz8kg5rcf2w0d65"):
        answer = ask(api.acme, "GET", f"/{webhook['id']}/deliveries{query}")
        assert_problem(answer.status_code, answer.headers, answer.json(), (422, "cursor_invalid"))


def test_a_test_is_sent_whatever_the_webhook_asked_for(api: Api) -> None:
    webhook = made(api.acme, events=["step.succeeded"])
    answer = ask(api.acme, "POST", f"/{webhook['id']}/test")
    sent = answer.json()
    assert (answer.status_code, sent["type"], sent["state"], sent["job"]) == (202, "webhook.test", "pending", None)
    assert answer.headers["location"] == f"/v1/webhooks/{webhook['id']}/deliveries/{sent['id']}"
    assert listed(api.acme, webhook) == [sent]
    twice = [ask(api.acme, "POST", f"/{webhook['id']}/test", {"Idempotency-Key": "k"}).json() for _ in range(2)]
    assert twice[0] == twice[1]
    assert len(listed(api.acme, webhook)) == 2


def test_one_message_is_sent_again_under_the_same_id(api: Api) -> None:
    webhook = made(api.acme)
    ended(api.acme)
    tried(api, webhook)
    (delivered,) = listed(api.acme, webhook)
    path = f"/{webhook['id']}/deliveries/{delivered['id']}"
    answer = ask(api.acme, "POST", f"{path}/redeliver")
    again = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (202, f"/v1/webhooks{path}")
    assert (again["state"], again["tries"], again["ended_at"]) == ("pending", 0, None)
    assert (again["id"], again["message_id"]) == (delivered["id"], delivered["message_id"])
    tried(api, webhook)
    (twice,) = listed(api.acme, webhook)
    assert (twice["state"], len(twice["log"])) == ("delivered", 2)


def test_what_failed_is_sent_again_by_default_since_a_time(api: Api) -> None:
    webhook = made(api.acme)
    ended(api.acme)
    tried(api, webhook, status=500)
    ended(api.acme)
    tried(api, webhook, status=204)
    ended(api.acme)
    assert states(api, webhook) == ["pending", "delivered", "failed"]
    path = f"/{webhook['id']}/redeliver"
    later = ask(api.acme, "POST", path, json={"since": (datetime.now(UTC) + timedelta(hours=1)).isoformat()})
    assert (later.status_code, later.json()) == (202, {"redelivering": 0, "more": False})
    since = {"since": "2026-01-01T00:00:00+01:00"}
    assert ask(api.acme, "POST", path, json=since).json() == {"redelivering": 1, "more": False}
    assert states(api, webhook) == ["pending", "delivered", "pending"]
    everything = ask(api.acme, "POST", path, json=since | {"state": "any"})
    assert everything.json() == {"redelivering": 1, "more": False}
    assert states(api, webhook) == ["pending"] * 3


def test_no_more_than_so_many_are_sent_again_at_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "MOST_AT_ONCE", 2)
    webhook = made(api.acme)
    for _ in range(3):
        ended(api.acme)
    tried(api, webhook, status=500)
    wish = {"since": "2026-01-01T00:00:00Z", "state": "failed"}
    answers = [ask(api.acme, "POST", f"/{webhook['id']}/redeliver", json=wish).json() for _ in range(2)]
    assert answers == [{"redelivering": 2, "more": True}, {"redelivering": 1, "more": False}]
    assert states(api, webhook) == ["pending"] * 3


def test_a_repeated_key_sends_nothing_again(api: Api) -> None:
    webhook = made(api.acme)
    ended(api.acme)
    tried(api, webhook)
    wish = {"since": "2026-01-01T00:00:00Z", "state": "delivered"}
    for _ in range(2):
        answer = ask(api.acme, "POST", f"/{webhook['id']}/redeliver", {"Idempotency-Key": "k"}, json=wish)
        assert answer.json() == {"redelivering": 1, "more": False}
        tried(api, webhook)
    (delivery,) = listed(api.acme, webhook)
    assert len(delivery["log"]) == 2


REDELIVERIES: list[tuple[Any, list[str]]] = [
    ({}, ["/since"]),
    ({"since": "yesterday"}, ["/since"]),
    ({"since": "2026-01-01T00:00:00"}, ["/since"]),
    ({"since": "2026-01-01T00:00:00Z", "state": "pending"}, ["/state"]),
    ({"since": "2026-01-01T00:00:00Z", "states": "failed"}, ["/states"]),
]


@pytest.mark.parametrize(("wish", "pointers"), REDELIVERIES)
def test_a_flawed_wish_to_send_again_is_refused(api: Api, wish: Any, pointers: list[str]) -> None:
    answer = ask(api.acme, "POST", f"/{made(api.acme)['id']}/redeliver", json=wish)
    assert_problem(answer.status_code, answer.headers, answer.json(), (422, "invalid_request"), pointers)


def test_nothing_is_sent_to_a_disabled_webhook_and_the_refusal_says_what_to_do(api: Api) -> None:
    webhook = made(api.acme)
    ended(api.acme)
    (delivery,) = listed(api.acme, webhook)
    ask(api.acme, "PATCH", f"/{webhook['id']}", json={"enabled": False})
    wish = {"json": {"since": "2026-01-01T00:00:00Z"}}
    paths: list[tuple[str, dict[str, Any]]] = [
        ("/test", {}),
        ("/redeliver", wish),
        (f"/deliveries/{delivery['id']}/redeliver", {}),
    ]
    for path, how in paths:
        answer = ask(api.acme, "POST", f"/{webhook['id']}{path}", **how)
        problem = assert_problem(answer.status_code, answer.headers, answer.json(), (409, "webhook_disabled"))
        assert "'enabled': true" in problem.detail
    assert states(api, webhook) == ["canceled"]
    ask(api.acme, "PATCH", f"/{webhook['id']}", json={"enabled": True})
    assert ask(api.acme, "POST", f"/{webhook['id']}/redeliver", **wish).json()["redelivering"] == 1


def test_a_delivery_is_read_at_its_own_webhook_alone(api: Api) -> None:
    webhook, other = made(api.acme), made(api.acme)
    ended(api.acme)
    (delivery,) = listed(api.acme, webhook)
    for path in (f"/{other['id']}/deliveries/{delivery['id']}", f"/{webhook['id']}/deliveries/nothing"):
        for answer in (ask(api.acme, "GET", path), ask(api.acme, "POST", f"{path}/redeliver")):
            assert_problem(answer.status_code, answer.headers, answer.json(), (404, "not_found"))


def test_a_jobs_deliveries_are_those_to_webhooks_and_to_its_notify(api: Api) -> None:
    webhook = made(api.acme)
    notify = {"url": "https://orders.example/done", "events": ["job.canceled"]}
    job = api.acme.post(json={"steps": {"say": {"kind": "echo"}}, "notify": notify}).json()["id"]
    path = f"/v1/jobs/{job}/deliveries"
    assert api.acme.get(path).json() == {"data": [], "next_cursor": None}
    api.acme.ask("POST", f"/v1/jobs/{job}/cancel")
    ended(api.acme)
    found = api.acme.get(path).json()["data"]
    assert {(one["webhook"], one["url"], one["job"]) for one in found} == {
        (webhook["id"], None, job),
        (None, notify["url"], job),
    }
    assert len({one["message_id"] for one in found}) == 1
    tried(api, webhook)
    (waiting,) = api.acme.get(f"{path}?state=pending").json()["data"]
    assert waiting["url"] == notify["url"]
    first = api.acme.get(f"{path}?limit=1").json()
    second = api.acme.get(f"{path}?limit=1&cursor={first['next_cursor']}").json()
    assert (first["data"] + second["data"], second["next_cursor"]) == (api.acme.get(path).json()["data"], None)


def test_what_a_jobs_notify_did_not_take_is_read_and_sent_again(api: Api) -> None:
    notify = {"url": "https://orders.example/done"}
    job = api.acme.post(json={"steps": {"say": {"kind": "echo"}}, "notify": notify}).json()["id"]
    api.acme.ask("POST", f"/v1/jobs/{job}/cancel")
    (told,) = api.acme.get(f"/v1/jobs/{job}/deliveries").json()["data"]
    path = f"/v1/jobs/{job}/deliveries/{told['id']}"
    assert api.acme.get(path).json() == {**told, "payload": None}
    with api.database.begin(api.acme.tenant) as tx:
        tx.sql(
            "UPDATE deliveries SET state = 'failed', next_at = NULL, ended_at = now(), tries = 10, body = '[1]'"
            " WHERE tenant_id = %(tenant)s AND id = %(id)s",
            id=told["id"],
        )
    assert api.acme.get(path).json()["payload"] == [1]
    answer = api.acme.ask("POST", f"{path}/redeliver")
    again = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (202, path)
    assert (again["id"], again["message_id"], again["url"]) == (told["id"], told["message_id"], notify["url"])
    assert (again["state"], again["tries"], again["ended_at"]) == ("pending", 0, None)


def test_a_delivery_is_read_and_sent_again_by_its_own_job_alone(api: Api) -> None:
    webhook = made(api.acme)
    job, another = ended(api.acme), ended(api.acme)
    (told,) = api.acme.get(f"/v1/jobs/{job}/deliveries").json()["data"]
    for caller, path in ((api.acme, f"/v1/jobs/{another}"), (api.other, f"/v1/jobs/{job}"), (api.acme, "/v1/jobs/x")):
        for answer in (
            caller.get(f"{path}/deliveries/{told['id']}"),
            caller.ask("POST", f"{path}/deliveries/{told['id']}/redeliver"),
        ):
            assert_problem(answer.status_code, answer.headers, answer.json(), (404, "not_found"))
    change(api.acme, webhook, {"enabled": False})
    refused = api.acme.ask("POST", f"/v1/jobs/{job}/deliveries/{told['id']}/redeliver")
    assert_problem(refused.status_code, refused.headers, refused.json(), (409, "webhook_disabled"))


def test_the_deliveries_of_a_deleted_job_are_still_told(api: Api) -> None:
    made(api.acme)
    job = ended(api.acme)
    assert api.acme.ask("DELETE", f"/v1/jobs/{job}").status_code == 204
    assert [one["job"] for one in api.acme.get(f"/v1/jobs/{job}/deliveries").json()["data"]] == [job]
    assert api.acme.get(f"/v1/jobs/{job}/deliveries?state=failed").json()["data"] == []


def test_another_tenants_job_has_no_deliveries_here(api: Api) -> None:
    made(api.acme)
    made(api.other)
    job = ended(api.acme)
    for job_id in (job, "job_01m81xfwczevz8kg5rcf2w0d65", "nothing"):
        answer = api.other.get(f"/v1/jobs/{job_id}/deliveries")
        assert_problem(answer.status_code, answer.headers, answer.json(), (404, "not_found"))
    reader, writer = api.key(api.acme, "jobs:read"), api.key(api.acme, "jobs:write")
    assert api.acme.ask("GET", f"/v1/jobs/{job}/deliveries", key=reader).status_code == 200
    assert api.acme.ask("GET", f"/v1/jobs/{job}/deliveries", key=writer).status_code == 403
