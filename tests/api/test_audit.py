"""Who did what is written down, whatever it was that changed something, and nothing of it that is secret."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from deploy.local.servers import Urls
from storage import audit
from storage.database import Database
from storage.model import Principal
from tests.api.conftest import Api, seen
from tests.api.hooked import HOOK, OWN_SECRET
from tests.api.refusing import assert_problem
from tests.api.serving import Served, served, settings
from tests.api.signing_in import Browser, signed_in
from tests.api.templating import MINE
from tests.api.test_openapi import operations
from tests.api.timetable import NIGHTLY
from tests.api.working import failed
from tests.documents import ECHO, put_in

VALUE = "the value of a secret"
READ_ONLY = {"post /v1/schedules/preview"}
CHANGING = ("post", "put", "patch", "delete")


@pytest.fixture(scope="module")
def running(servers: Urls, shared_database: Database) -> Iterator[Served]:
    with served(settings(shared_database.settings.url, {"CACHE_URL": str(servers.broker)})) as running:
        yield running


@pytest.fixture
def api(running: Served, shared_database: Database) -> Iterator[Api]:
    with seen(running, shared_database) as api:
        yield api


def entries(api: Api, key: str | None = None, **params: Any) -> list[Any]:
    answer = api.acme.ask("GET", "/v1/audit", key=key, params={"limit": 100, **params})
    assert answer.status_code == 200, answer.text
    data: list[Any] = answer.json()["data"]
    return data


@dataclass(kw_only=True, slots=True)
class Person:
    """Somebody who does everything once, and remembers which routes they have used, and for what."""

    browser: Browser
    document: dict[str, Any]
    used: set[str] = field(default_factory=set)
    did: list[tuple[str, str | None]] = field(default_factory=list)

    def do(self, method: str, route: str, action: str, target: str | None, /, **how: Any) -> Any:
        path = re.sub(r"\{.*?\}", lambda match: how.pop(match[0][1:-1]), route)
        answer = self.browser.ask(method, path, **how)
        assert answer.status_code < 300, (method, path, answer.text)
        told = answer.json() if answer.content else {}
        self.used.add(f"{method.lower()} {route}")
        self.did.append((action, told["id"] if target == "its id" else target))
        return told


def of_jobs(person: Person, job: str, dead: str) -> None:
    made = person.do("POST", "/v1/jobs", "job.submit", "its id", json=ECHO)["id"]
    person.do("POST", "/v1/jobs/{job_id}/cancel", "job.cancel", made, job_id=made)
    person.do("POST", "/v1/jobs/{job_id}/retry", "job.retry", dead, job_id=dead, json={"only": "all"})
    person.do("POST", "/v1/dead-letters/replay", "dead_letters.replay", None, json={"filter": {"kind": "echo"}})
    person.do("DELETE", "/v1/jobs/{job_id}", "job.delete", made, job_id=made)
    batch = person.do("POST", "/v1/batches", "batch.submit", "its id", json={"jobs": [ECHO]})["id"]
    person.do("POST", "/v1/batches/{batch_id}/cancel", "batch.cancel", batch, batch_id=batch)
    upload = person.do("POST", "/v1/uploads", "upload.create", "its id", content=b"a file")["id"]
    person.do("DELETE", "/v1/uploads/{upload_id}", "upload.delete", upload, upload_id=upload)
    person.do("PUT", "/v1/templates/{name}", "template.put", "mine", name="mine", json=MINE)
    person.do("DELETE", "/v1/templates/{name}", "template.delete", "mine", name="mine")
    for act in ("pause", "resume"):
        person.do("POST", f"/v1/queues/{{name}}/{act}", f"queue.{act}", "calls", name="calls")


def of_schedules(person: Person) -> None:
    made = person.do("POST", "/v1/schedules", "schedule.create", "its id", json=NIGHTLY)["id"]
    route, named = "/v1/schedules/{schedule_id}", {"schedule_id": made}
    patch = {"name": "nightly"}
    person.do("PATCH", route, "schedule.change", made, json=patch, headers={"If-Match": "*"}, **named)
    for act in ("pause", "resume", "trigger"):
        person.do("POST", f"{route}/{act}", f"schedule.{act}", made, **named)
    span = {"from": "2026-01-01T00:00:00", "to": "2026-01-02T00:00:00"}
    person.do("POST", f"{route}/backfill", "schedule.backfill", made, json=span, **named)
    person.do("DELETE", route, "schedule.delete", made, **named)


def of_secrets(person: Person) -> list[str]:
    person.do("POST", "/v1/secrets", "secret.create", "token", json={"name": "token", "value": VALUE})
    person.do("PUT", "/v1/secrets/{name}", "secret.replace", "token", name="token", json={"value": VALUE + "!"})
    person.do("DELETE", "/v1/secrets/{name}", "secret.delete", "token", name="token")
    key = person.do("POST", "/v1/image-keys", "image_key.create", "its id")
    person.do("POST", "/v1/image-keys/{key_id}/retire", "image_key.retire", key["id"], key_id=key["id"])
    person.do("DELETE", "/v1/image-keys/{key_id}", "image_key.delete", key["id"], key_id=key["id"])
    return [VALUE, key["key"]]


def of_webhooks(person: Person, job: str) -> list[str]:
    asked = HOOK | {"secret": OWN_SECRET, "url": "https://shop.example/hooks?token=of-the-shop"}
    hook = person.do("POST", "/v1/webhooks", "webhook.create", "its id", json=asked)["id"]
    route, named = "/v1/webhooks/{webhook_id}", {"webhook_id": hook}
    url = {"url": "https://shop.example/hooks?token=another-of-the-shop"}
    person.do("PATCH", route, "webhook.change", hook, json=url, **named)
    rotated = person.do("POST", f"{route}/rotate-secret", "webhook.rotate_secret", hook, **named)
    test = person.do("POST", f"{route}/test", "webhook.test", hook, **named)["id"]
    again = "delivery.redeliver"
    person.do("POST", f"{route}/deliveries/{{delivery_id}}/redeliver", again, test, delivery_id=test, **named)
    person.browser.ask("POST", f"/v1/jobs/{job}/cancel")
    person.did.append(("job.cancel", job))
    told = person.browser.ask("GET", f"/v1/jobs/{job}/deliveries").json()["data"][0]["id"]
    of_job = "/v1/jobs/{job_id}/deliveries/{delivery_id}/redeliver"
    person.do("POST", of_job, again, told, job_id=job, delivery_id=told)
    since = {"since": "2026-01-01T00:00:00Z"}
    person.do("POST", f"{route}/redeliver", "webhook.redeliver", hook, json=since, **named)
    person.do("DELETE", route, "webhook.delete", hook, **named)
    return [OWN_SECRET, rotated["secret"], "of-the-shop"]


def test_every_change_is_written_down_and_no_secret_is(api: Api) -> None:
    job, dead = put_in(api.database, api.acme.tenant).id, failed(api).id
    failed(api)  # for the replay
    key = api.key(api.acme, "operate", "jobs:read", "jobs:write")
    with signed_in(api, key) as browser:
        person = Person(browser=browser, document=api.acme.http.get("/openapi.json").json())
        person.did.append(("session.begin", None))
        of_jobs(person, job, dead)
        of_schedules(person)
        secrets = of_secrets(person) + of_webhooks(person, job)
        person.do("DELETE", "/v1/session", "session.end", None)
    person.used.add("post /v1/session")
    assert api.acme.ask("DELETE", "/v1/sessions").status_code == 204
    person.used.add("delete /v1/sessions")
    person.did.append(("session.end_all", None))
    written = entries(api)
    assert [(one["action"], one["target"]) for one in reversed(written)] == person.did
    assert {one["via"] for one in written[1:-1]} == {"session"}
    kept = json.dumps(written)
    assert not [secret for secret in (*secrets, key, browser.cookie_was, browser.csrf) if secret in kept]
    assert person.used == {
        name for name, _ in operations(person.document) if name.split()[0] in CHANGING and name not in READ_ONLY
    }


def test_an_action_says_who_by_which_key_from_where_in_which_request(api: Api) -> None:
    job = put_in(api.database, api.acme.tenant)
    headers = {"Authorization": f"Bearer {api.acme.key}", "X-Request-Id": "of-this-very-request"}
    api.acme.http.post(f"/v1/jobs/{job.id}/cancel", headers=headers)
    (entry,) = entries(api)
    whoami = api.acme.ask("GET", "/v1/session").json()
    assert entry.pop("id").startswith("aud_")
    assert entry.pop("at")
    assert entry == {
        "action": "job.cancel",
        "target": job.id,
        "via": "key",
        "key": whoami["key"],
        "by": None,
        "address": "127.0.0.1",
        "request_id": "of-this-very-request",
        "detail": {},
    }


def test_what_was_refused_or_only_read_is_not_written_down(api: Api) -> None:
    job = failed(api)
    assert api.acme.ask("POST", f"/v1/jobs/{job.id}/cancel").status_code == 409
    assert api.acme.ask("POST", "/v1/schedules", json={"cron": "nonsense"}).status_code == 422
    assert api.acme.ask("DELETE", "/v1/secrets/nothing").status_code == 404
    api.acme.get("/v1/jobs")
    assert entries(api) == []


def test_the_ordinary_work_of_a_key_is_not_written_down_twice(api: Api) -> None:
    assert api.acme.post(json=ECHO).status_code == 202
    assert api.acme.ask("POST", "/v1/uploads", content=b"a file").status_code == 201
    assert entries(api) == []


def test_a_repeated_request_is_one_action(api: Api) -> None:
    headers = {"Authorization": f"Bearer {api.acme.key}", "Idempotency-Key": "only-once"}
    for _ in range(2):
        assert api.acme.http.post("/v1/schedules", json=NIGHTLY, headers=headers).status_code == 201
    assert [one["action"] for one in entries(api)] == ["schedule.create"]


def test_a_tenant_sees_what_an_operator_did_for_it_but_not_with_which_key(api: Api) -> None:
    job = put_in(api.database, api.acme.tenant)
    operator, watcher = api.key(api.other, "operate"), api.key(api.other, "operate:read")
    acting = {"tenant": name_of(api, api.acme.tenant)}
    assert api.other.ask("POST", f"/v1/jobs/{job.id}/cancel", key=operator, params=acting).status_code == 200
    (mine,) = entries(api)
    assert (mine["action"], mine["by"]) == ("job.cancel", name_of(api, api.other.tenant))
    assert mine["key"] is None is mine["address"]
    (theirs,) = entries(api, watcher, **acting)
    assert theirs["key"]["hint"] == operator[:7]
    assert theirs["address"] == "127.0.0.1"
    assert entries(api, watcher) == []  # it is the tenant's, and a pause of a queue is the operator's own:
    assert api.other.ask("POST", "/v1/queues/calls/resume", key=operator).status_code == 200
    assert [(one["action"], one["by"]) for one in entries(api, watcher)] == [("queue.resume", None)]


def test_a_job_that_an_operator_submits_for_a_tenant_is_written_down(api: Api) -> None:
    operator = api.key(api.other, "operate")
    acting = {"tenant": name_of(api, api.acme.tenant)}
    assert api.other.ask("POST", "/v1/jobs", key=operator, params=acting, json=ECHO).status_code == 202
    assert [one["action"] for one in entries(api)] == ["job.submit"]


def name_of(api: Api, tenant: str) -> str:
    with api.database.platform_read() as tx:
        return str(tx.sql("SELECT name FROM tenants WHERE id = %(id)s", id=tenant).scalar_one())


def test_nobody_sees_what_another_tenant_did(api: Api) -> None:
    assert api.acme.ask("POST", "/v1/schedules", json=NIGHTLY).status_code == 201
    assert api.other.ask("GET", "/v1/audit").json() == {"data": [], "next_cursor": None}


def test_actions_are_listed_page_by_page_and_by_name_or_noun(api: Api) -> None:
    made = api.acme.ask("POST", "/v1/schedules", json=NIGHTLY).json()["id"]
    for act in ("pause", "resume", "pause"):
        api.acme.ask("POST", f"/v1/schedules/{made}/{act}")
    api.acme.ask("PUT", "/v1/secrets/token", json={"value": VALUE})
    assert len(entries(api, action="schedule")) == 4
    assert len(entries(api, action="schedule.pause")) == 2
    assert entries(api, action="sched") == entries(api, action="\0") == []
    pages: list[list[str]] = []
    cursor = None
    while cursor is not None or not pages:
        params = {"limit": 2} if cursor is None else {"limit": 2, "cursor": cursor}
        page = api.acme.ask("GET", "/v1/audit", params=params).json()
        pages.append([one["action"] for one in page["data"]])
        cursor = page["next_cursor"]
    assert pages == [["secret.create", "schedule.pause"], ["schedule.resume", "schedule.pause"], ["schedule.create"]]
    wrong = api.acme.ask("GET", "/v1/audit", params={"cursor": "aud_1"})
    assert_problem(wrong.status_code, wrong.headers, wrong.json(), (422, "cursor_invalid"))


def test_what_is_undone_was_never_done(api: Api) -> None:
    who = Principal(tenant_id=api.acme.tenant, key_id=newest(api), scopes=frozenset())
    with api.database.begin(api.acme.tenant) as tx:
        audit.note(tx, who, "job.cancel", "job_1")
        tx.connection.rollback()
    assert entries(api) == []


def newest(api: Api) -> Any:
    return api.acme.ask("GET", "/v1/session").json()["key"]["id"]


def test_what_is_old_is_forgotten_bit_by_bit(api: Api) -> None:
    who = Principal(tenant_id=api.acme.tenant, key_id=newest(api), scopes=frozenset())
    with api.database.begin(api.acme.tenant) as tx:
        for number in range(3):
            audit.note(tx, who, "job.cancel", f"job_{number}")
        tx.sql("UPDATE audit SET at = at - interval '400 days' WHERE tenant_id = %(tenant)s AND target <> 'job_2'")
    with api.database.platform() as tx:
        gone = [audit.forget_old(tx, older_than_seconds=365 * 86_400, limit=1) for _ in range(3)]
    assert gone == [1, 1, 0]
    assert [one["target"] for one in entries(api)] == ["job_2"]
