"""Addresses that may never be reached are refused at the door: nothing is written for them."""

from typing import Any

import pytest

from storage.database import Database
from tests.api.conftest import Api, seen
from tests.api.serving import served, settings


def job(**fields: Any) -> dict[str, Any]:
    return {"steps": {"say": {"kind": "echo"}}, **fields}


def call(url: str) -> dict[str, Any]:
    return {"steps": {"crm": {"kind": "http.call", "url": url}}}


REFUSED = {
    "a call to loopback": (call("http://127.0.0.1:1/"), "/steps/crm/url"),
    "a call to the metadata service": (call("http://169.254.169.254/latest"), "/steps/crm/url"),
    "an address in disguise": (call("http://2130706433/"), "/steps/crm/url"),
    "a notice to a private network": (job(notify={"url": "http://10.1.2.3/hook"}), "/notify/url"),
    "a file from a private network": ({"template": "thumbnails", "input": {"url": "http://[fd00::1]/"}}, "/input/url"),
}


@pytest.mark.parametrize(("document", "pointer"), REFUSED.values(), ids=REFUSED)
def test_an_address_of_our_own_network_is_refused_by_its_place(api: Api, document: Any, pointer: str) -> None:
    before = api.left()
    answer = api.acme.post(json=document)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_job")
    assert [flaw["pointer"] for flaw in answer.json()["errors"]] == [pointer]
    assert api.left() == before


@pytest.mark.parametrize(("document", "pointer"), REFUSED.values(), ids=REFUSED)
def test_a_schedule_of_such_a_job_is_refused_too(api: Api, document: Any, pointer: str) -> None:
    answer = api.acme.ask("POST", "/v1/schedules", json={"every": 3600, "job": document})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_schedule")
    assert [flaw["pointer"] for flaw in answer.json()["errors"]] == [f"/job{pointer}"]
    made = api.acme.ask("POST", "/v1/schedules", json={"every": 3600, "job": job()}).json()
    at, headers = f"/v1/schedules/{made['id']}", {"If-Match": "*"}
    patch = api.acme.http.patch(
        at, json={"job": document}, headers={**headers, "Authorization": f"Bearer {api.acme.key}"}
    )
    assert patch.status_code == 422
    assert api.acme.get(at).json()["version"] == 1


@pytest.mark.parametrize("url", ["https://crm.example/in", "https://crm.example/é?q=ü", "{{steps.look.data.url}}"])
def test_other_addresses_are_taken(api: Api, url: str) -> None:
    steps = {"look": {"kind": "echo"}, "crm": {"kind": "http.call", "use": ["look"], "url": url}}
    assert api.acme.post(json={"steps": steps}).status_code == 202


NOTIFY: dict[str, tuple[Any, str]] = {
    "no object": ("https://a.example", "/notify"),
    "no URL": ({}, "/notify/url"),
    "another scheme": ({"url": "mailto:me@a.example"}, "/notify/url"),
    "a user": ({"url": "https://me:pw@a.example"}, "/notify/url"),
    "an unknown field": ({"url": "https://a.example", "event": []}, "/notify/event"),
    "no events": ({"url": "https://a.example", "events": []}, "/notify/events"),
    "an unknown event": ({"url": "https://a.example", "events": ["job.done"]}, "/notify/events/0"),
    "an event twice": ({"url": "https://a.example", "events": ["job.failed"] * 2}, "/notify/events/1"),
}


@pytest.mark.parametrize(("notify", "pointer"), NOTIFY.values(), ids=NOTIFY)
def test_a_flaw_of_a_notice_is_named_by_its_place(api: Api, notify: Any, pointer: str) -> None:
    answer = api.acme.post(json=job(notify=notify))
    assert answer.status_code == 422
    assert [flaw["pointer"] for flaw in answer.json()["errors"]] == [pointer]


def test_the_job_shows_who_is_told_of_it(api: Api) -> None:
    made = api.acme.post(json=job(notify={"url": "https://a.example/hook"})).json()
    ends = ["job.succeeded", "job.failed", "job.canceled", "job.expired"]
    assert made["notify"] == {"url": "https://a.example/hook", "events": ends}
    assert api.acme.get(f"/v1/jobs/{made['id']}").json()["notify"] == made["notify"]


def test_without_a_key_to_sign_with_nobody_is_promised_a_webhook(database_url: str, database: Database) -> None:
    with served(settings(database_url, keyring=None)) as running, seen(running, database) as api:
        before = api.left()
        answer = api.acme.post(json=job(notify={"url": "https://a.example"}))
        assert (answer.status_code, answer.json()["code"]) == (503, "secret_key_missing")
        assert api.left() == before
