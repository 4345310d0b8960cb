"""Whatever is asked of webhooks, the answer is a webhook of one's own or a clear refusal that points at the place."""

import base64
from typing import Any

import httpx2
import pytest
from jsonschema_rs import Draft202012Validator

from api.errors import ConfigurationError
from storage.sealing import Keyring
from tests.api.conftest import Api
from tests.api.hooked import HOOK, OWN_SECRET, ask, change, ended, listed, made, shown
from tests.api.refusing import assert_problem
from tests.api.serving import served, settings

REFUSED: list[tuple[Any, list[str], str]] = [
    ({}, ["/url"], "required"),
    ([], [""], "JSON object"),
    (HOOK | {"url": None}, ["/url"], "string"),
    (HOOK | {"url": "ftp://shop.example/"}, ["/url"], "http"),
    (HOOK | {"url": "https://" + "x" * 2048}, ["/url"], "2048"),
    (HOOK | {"events": []}, ["/events"], "at least 1"),
    (HOOK | {"events": ["job.suceeded"]}, ["/events/0"], "did you mean 'job.succeeded'"),
    (HOOK | {"events": ["webhook.test"]}, ["/events/0"], "job.failed"),
    (HOOK | {"events": ["job.failed", "job.failed"]}, ["/events"], "twice"),
    (HOOK | {"evnets": ["job.failed"]}, ["/evnets"], "did you mean 'events'"),
    (HOOK | {"description": "x" * 201}, ["/description"], "200"),
    (HOOK | {"enabled": "yes"}, ["/enabled"], "boolean"),
    (HOOK | {"secret": "whsec_"}, ["/secret"], "24 to 64"),
    (HOOK | {"secret": "whsec_" + base64.b64encode(bytes(23)).decode()}, ["/secret"], "24 to 64"),
    (HOOK | {"secret": "whsec_" + base64.b64encode(bytes(65)).decode()}, ["/secret"], "24 to 64"),
    (HOOK | {"secret": OWN_SECRET.removeprefix("whsec_")}, ["/secret"], "24 to 64"),
    ({"url": "http://127.0.0.1/", "events": ["x"], "secret": 1}, ["/url", "/events/0", "/secret"], ""),
]


@pytest.mark.parametrize(("wish", "pointers", "says"), REFUSED)
def test_a_flawed_webhook_is_refused_place_by_place(api: Api, wish: Any, pointers: list[str], says: str) -> None:
    answer = ask(api.acme, "POST", "", json=wish)
    problem = assert_problem(answer.status_code, answer.headers, answer.json(), (422, "invalid_request"), pointers)
    assert any(says in flaw.detail for flaw in problem.errors)
    assert ask(api.acme, "GET", "").json() == {"data": []}


FORBIDDEN = [
    "http://127.0.0.1/",
    "https://10.0.0.8/hook",
    "http://169.254.169.254/latest/meta-data/",
    "https://[::1]/",
    "https://user:s3same@shop.example/",
]


@pytest.mark.parametrize("url", FORBIDDEN)
def test_an_address_that_may_not_be_reached_is_refused_at_once(api: Api, url: str) -> None:
    webhook = made(api.acme)
    for answer in (ask(api.acme, "POST", "", json={"url": url}), change(api.acme, webhook, {"url": url})):
        problem = assert_problem(answer.status_code, answer.headers, answer.json(), (422, "invalid_request"), ["/url"])
        assert "s3same" not in problem.errors[0].detail
    assert shown(api.acme, webhook)["url"] == HOOK["url"]


def test_what_the_operator_has_opened_may_be_reached(api: Api) -> None:
    opened, made_there = settings(api.database.settings.url, {"OUTBOUND_ALLOW": "10.0.0.8"}), None
    with served(opened) as running:
        for url, status in (("https://10.0.0.8/hook", 201), ("https://10.0.0.9/hook", 422)):
            answer = httpx2.post(
                f"{running.url}/v1/webhooks", headers={"Authorization": f"Bearer {api.acme.key}"}, json={"url": url}
            )
            assert answer.status_code == status
            made_there = answer.json() if status == 201 else made_there
    assert change(api.acme, made_there, {"description": "mine"}).status_code == 200  # here it is not opened
    assert change(api.acme, made_there, {"url": "https://10.0.0.8/v2"}).status_code == 422


def test_an_odd_rule_of_the_operator_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match=r"^OUTBOUND_ALLOW: .*10\.0\.0\.0/99"):
        settings("postgresql://nobody@127.0.0.1:1/nothing", {"OUTBOUND_ALLOW": "10.0.0.0/99"})


CHANGES: list[tuple[Any, list[str]]] = [
    ([], [""]),
    ({"url": None}, ["/url"]),
    ({"secret": OWN_SECRET}, ["/secret"]),
    ({"ed25519": True, "id": "x", "disabled_at": None}, ["/ed25519", "/id", "/disabled_at"]),
    ({"enable": True}, ["/enable"]),
    ({"enable": None}, ["/enable"]),
    ({"events": ["job.done"], "description": 1}, ["/events/0", "/description"]),
]


@pytest.mark.parametrize(("patch", "pointers"), CHANGES)
def test_a_flawed_change_is_refused_and_changes_nothing(api: Api, patch: Any, pointers: list[str]) -> None:
    webhook = made(api.acme)
    webhook.pop("secret")
    answer = change(api.acme, webhook, patch)
    assert_problem(answer.status_code, answer.headers, answer.json(), (422, "invalid_request"), pointers)
    assert shown(api.acme, webhook) == webhook


ROUTES = [
    ("GET", "/{id}"),
    ("PATCH", "/{id}"),
    ("DELETE", "/{id}"),
    ("POST", "/{id}/rotate-secret"),
    ("POST", "/{id}/test"),
    ("GET", "/{id}/deliveries"),
    ("GET", "/{id}/deliveries/{delivery}"),
    ("POST", "/{id}/deliveries/{delivery}/redeliver"),
    ("POST", "/{id}/redeliver"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_another_tenants_webhook_is_not_there(api: Api, method: str, path: str) -> None:
    webhook = made(api.acme)
    webhook.pop("secret")
    ended(api.acme)
    (delivery,) = listed(api.acme, webhook)
    body = {"json": {"since": "2026-01-01T00:00:00Z"} if path.endswith("}/redeliver") else {}}
    for webhook_id in (webhook["id"], "whe_01m81xfwczevz8kg5rcf2w0d65", "sch_01m81xfwczevz8kg5rcf2w0d65", "nobody"):
        at = path.format(id=webhook_id, delivery=delivery["id"])
        answer = ask(api.other, method, at, **({} if method == "GET" else body))
        assert_problem(answer.status_code, answer.headers, answer.json(), (404, "not_found"))
    assert (shown(api.acme, webhook), listed(api.acme, webhook)) == (webhook, [delivery])
    assert ask(api.other, "GET", "").json() == {"data": []}


def test_to_look_and_to_change_are_two_scopes(api: Api) -> None:
    webhook = made(api.acme)
    reader, writer = api.key(api.acme, "jobs:read"), api.key(api.acme, "jobs:write")
    wish = {"since": "2026-01-01T00:00:00Z"}
    for path in ("", f"/{webhook['id']}", f"/{webhook['id']}/deliveries"):
        assert api.acme.ask("GET", f"/v1/webhooks{path}", key=reader).status_code == 200
        assert api.acme.ask("GET", f"/v1/webhooks{path}", key=writer).status_code == 403
    changes = [("PATCH", ""), ("POST", "/rotate-secret"), ("POST", "/test"), ("POST", "/redeliver"), ("DELETE", "")]
    at = [(method, f"/{webhook['id']}{path}") for method, path in changes]
    for method, path in [("POST", ""), ("GET", "/signing-secret"), *at]:
        answer = api.acme.ask(method, f"/v1/webhooks{path}", key=reader, json=wish)
        assert_problem(answer.status_code, answer.headers, answer.json(), (403, "scope_missing"))
    assert api.acme.ask("GET", "/v1/webhooks/signing-secret", key=writer).status_code == 200


def test_without_a_key_to_seal_with_there_are_no_webhooks(api: Api) -> None:
    with served(settings(api.database.settings.url, keyring=None)) as bare, httpx2.Client(base_url=bare.url) as http:
        headers = {"Authorization": f"Bearer {api.acme.key}"}
        for method, path in (("POST", ""), ("GET", ""), ("GET", "/signing-secret")):
            answer = http.request(method, f"/v1/webhooks{path}", headers=headers, json=HOOK)
            problem = assert_problem(answer.status_code, answer.headers, answer.json(), (503, "secret_key_missing"))
            assert "SECRET_KEY" in problem.detail


def test_after_the_operators_key_is_changed_old_webhooks_still_open(api: Api) -> None:
    webhook = made(api.acme, ed25519=True)
    keyring = api.served.service.settings.keyring
    assert keyring is not None
    new = "another key, of at least thirty-two characters"
    with_old = Keyring([new, *keyring._keys])  # as SECRET_KEY_FALLBACKS has it
    for ring, expected in ((with_old, 200), (Keyring([new]), 503)):
        with served(settings(api.database.settings.url, keyring=ring)) as later:
            at = f"{later.url}/v1/webhooks/{webhook['id']}"
            answer = httpx2.get(at, headers={"Authorization": f"Bearer {api.acme.key}"})
        assert answer.status_code == expected
    assert answer.json()["code"] == "secret_unreadable"


def test_answers_are_valid_by_the_published_document(api: Api) -> None:
    document = api.acme.http.get("/openapi.json").json()

    def check(name: str, given: Any) -> None:
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        Draft202012Validator(schema).validate(given)

    asked = document["components"]["schemas"]["WebhookRequest"]["example"]
    webhook = made(api.acme, **asked, ed25519=True, secret=OWN_SECRET)
    check("MadeWebhook", webhook)
    check("WebhookRequest", {**asked, "ed25519": True, "secret": OWN_SECRET})
    check("WebhookDocument", shown(api.acme, webhook))
    check("WebhookPage", ask(api.acme, "GET", "").json())
    check("RotatedDocument", ask(api.acme, "POST", f"/{webhook['id']}/rotate-secret").json())
    check("SigningSecretDocument", ask(api.acme, "GET", "/signing-secret").json())
    sent = ask(api.acme, "POST", f"/{webhook['id']}/test").json()
    check("DeliveryDocument", sent)
    check("WholeDelivery", ask(api.acme, "GET", f"/{webhook['id']}/deliveries/{sent['id']}").json())
    check("DeliveryPage", ask(api.acme, "GET", f"/{webhook['id']}/deliveries").json())
    wish = {"since": "2026-01-01T00:00:00Z", "state": "any"}
    check("RedeliverRequest", wish)
    check("RedeliveredDocument", ask(api.acme, "POST", f"/{webhook['id']}/redeliver", json=wish).json())
    check("WebhookPatch", document["components"]["schemas"]["WebhookPatch"]["example"])


REFUSED_BY_THE_DOCUMENT = [
    ("WebhookRequest", {}),
    ("WebhookRequest", HOOK | {"events": ["webhook.test"]}),
    ("WebhookRequest", HOOK | {"events": ["job.failed", "job.failed"]}),
    ("WebhookRequest", HOOK | {"secret": "whsec_short"}),
    ("WebhookPatch", {"url": None}),
    ("WebhookPatch", {"secret": OWN_SECRET}),
    ("RotateRequest", {"expire_old_after_seconds": -1}),
    ("RedeliverRequest", {}),
]


@pytest.mark.parametrize(("name", "given"), REFUSED_BY_THE_DOCUMENT)
def test_what_we_refuse_is_invalid_by_the_published_document(api: Api, name: str, given: Any) -> None:
    document = api.acme.http.get("/openapi.json").json()
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    assert not Draft202012Validator(schema).is_valid(given)
