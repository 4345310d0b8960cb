"""`/v1/webhooks`: made, read, listed, changed, disabled and deleted by their owner, and by nobody else."""

import base64
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.webhook_schemas import DEFAULT_EVENTS, WebhookFields
from api.webhooks import MAX_WEBHOOKS
from storage import webhooks
from storage.model import TenantId
from storage.webhook_model import ENDS, OF_ENDPOINTS, EndpointId, NewEndpoint, SigningSecrets, new_endpoint_id
from tasks.signatures import public_key, tenant_signing
from tests.api.conftest import Api
from tests.api.hooked import HOOK, OWN_SECRET, ask, change, ended, listed, made, shown, try_all
from tests.api.refusing import assert_problem


def changed(api: Api, webhook: Any, patch: Any) -> Any:
    answer = change(api.acme, webhook, patch)
    assert answer.status_code == 200, answer.text
    return answer.json()


def opened(api: Api, tenant: TenantId, webhook: Any) -> SigningSecrets:
    """The webhook's secrets, as the loop that delivers opens them."""
    keyring = api.served.service.settings.keyring
    assert keyring is not None
    with api.database.read(tenant) as tx:
        endpoint = webhooks.find(tx, EndpointId(webhook["id"]))
    assert endpoint is not None
    return webhooks.opened(keyring, endpoint, now=datetime.now(UTC))


def secrets_of(api: Api, webhook: Any) -> list[str]:
    return [one.secret for one in opened(api, api.acme.tenant, webhook).secrets]


def test_a_webhook_is_made_with_every_default_and_its_secret_is_shown_once(api: Api) -> None:
    answer = ask(api.acme, "POST", "", json=HOOK)
    webhook = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (201, f"/v1/webhooks/{webhook['id']}")
    secret = webhook.pop("secret")
    assert secret.startswith("whsec_")
    assert {field: webhook[field] for field in WebhookFields.model_fields} == {
        "url": HOOK["url"],
        "events": ["job.succeeded", "job.failed", "job.canceled", "job.expired"],
        "description": "",
        "enabled": True,
    }
    assert (webhook["ed25519"], webhook["public_key"]) == (False, None)
    at = f"/v1/webhooks/{webhook['id']}"
    assert webhook["links"] == {"self": at, "deliveries": f"{at}/deliveries"}
    assert shown(api.acme, webhook) == webhook
    assert ask(api.acme, "GET", "").json() == {"data": [webhook]}
    assert secrets_of(api, webhook) == [secret]


def test_the_events_of_the_door_are_those_of_the_platform() -> None:
    schema = WebhookFields.model_json_schema()["properties"]["events"]
    assert schema["items"]["enum"] == [one.value for one in OF_ENDPOINTS]
    assert DEFAULT_EVENTS == ENDS


def test_ones_own_secret_signs_and_a_key_pair_shows_its_public_half(api: Api) -> None:
    webhook = made(api.acme, secret=OWN_SECRET, ed25519=True)
    assert webhook["secret"] == OWN_SECRET
    signing = opened(api, api.acme.tenant, webhook)
    assert [one.secret for one in signing.secrets] == [OWN_SECRET]
    assert signing.key is not None
    assert webhook["public_key"] == public_key(signing.key)
    assert shown(api.acme, webhook)["public_key"] == webhook["public_key"]


def test_the_same_key_gets_the_same_secret_which_stands_nowhere_in_the_clear(api: Api) -> None:
    first, again = (ask(api.acme, "POST", "", {"Idempotency-Key": "mine"}, json=HOOK) for _ in range(2))
    assert (again.status_code, again.json()) == (201, first.json())
    assert len(ask(api.acme, "GET", "").json()["data"]) == 1
    other = ask(api.acme, "POST", "", {"Idempotency-Key": "mine"}, json=HOOK | {"description": "x"})
    assert_problem(other.status_code, other.headers, other.json(), (422, "idempotency_mismatch"))
    path = f"/{first.json()['id']}/rotate-secret"
    rotated, replayed = (ask(api.acme, "POST", path, {"Idempotency-Key": "turn"}) for _ in range(2))
    assert replayed.json() == rotated.json()
    secrets = {first.json()["secret"], rotated.json()["secret"]}
    assert set(secrets_of(api, first.json())) == secrets
    with api.database.read(api.acme.tenant) as tx:
        rows = [
            str(row)
            for table in ("idempotency", "webhook_endpoints")
            for row in tx.sql(f"SELECT to_jsonb(t) FROM {table} t WHERE tenant_id = %(tenant)s")
        ]
    assert len(rows) == 3
    for secret in secrets:
        assert not any(secret.removeprefix("whsec_") in row for row in rows)


def test_no_secret_is_told_by_a_refusal_or_a_log(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    hidden = base64.b64encode(b"hidden" * 2).decode()
    with caplog.at_level(logging.DEBUG):
        for wish in ({"secret": f"whsec_{hidden}"}, {"secret": [hidden]}, {"secret": OWN_SECRET, "url": 1}):
            answer = ask(api.acme, "POST", "", json=HOOK | wish)
            assert answer.status_code == 422
            assert hidden not in answer.text
            assert OWN_SECRET not in answer.text
        made(api.acme, secret=OWN_SECRET)
    assert hidden not in caplog.text
    assert OWN_SECRET not in caplog.text


def test_the_list_is_newest_first_and_does_not_show_who_listens(api: Api) -> None:
    ids = [made(api.acme, description=str(number))["id"] for number in range(3)]
    listener = NewEndpoint(id=new_endpoint_id(), url=None, types=ENDS, listening_seconds=60)
    with api.database.begin(api.acme.tenant) as tx:
        webhooks.insert(tx, listener)
    assert [one["id"] for one in ask(api.acme, "GET", "").json()["data"]] == ids[::-1]
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/deliveries"), ("POST", "/test")):
        answer = ask(api.acme, method, f"/{listener.id}{path}", json=None if method == "GET" else {})
        assert_problem(answer.status_code, answer.headers, answer.json(), (404, "not_found"))


def test_a_tenant_has_no_more_than_so_many(api: Api) -> None:
    for _ in range(MAX_WEBHOOKS):
        made(api.acme)
    answer = ask(api.acme, "POST", "", json=HOOK)
    assert_problem(answer.status_code, answer.headers, answer.json(), (409, "too_many_webhooks"))
    assert len(ask(api.acme, "GET", "").json()["data"]) == MAX_WEBHOOKS
    made(api.other)


def test_a_change_leaves_what_it_does_not_name(api: Api) -> None:
    webhook = made(api.acme, description="the shop", events=["step.succeeded"])
    webhook.pop("secret")
    after = changed(api, webhook, {"url": "https://shop.example/v2"})
    assert after == webhook | {"url": "https://shop.example/v2", "updated_at": after["updated_at"]}
    assert after["updated_at"] > webhook["updated_at"]
    after = changed(api, webhook, {"events": ["webhook.disabled", "job.failed"], "description": None})
    assert (after["events"], after["description"]) == (["webhook.disabled", "job.failed"], "")
    assert changed(api, webhook, {"events": None})["events"] == list(ENDS)
    merge = change(api.acme, webhook, {"description": "x"}, {"Content-Type": "application/merge-patch+json"})
    assert merge.json() == shown(api.acme, webhook)
    odd = change(api.acme, webhook, {"description": "y"}, {"Content-Type": "text/plain"})
    assert_problem(odd.status_code, odd.headers, odd.json(), (415, "content_type_unsupported"))
    assert shown(api.acme, webhook)["description"] == "x"


def test_a_disabled_webhook_gets_nothing_and_what_waited_is_canceled(api: Api) -> None:
    webhook = made(api.acme)
    ended(api.acme)
    off = changed(api, webhook, {"enabled": False})
    assert (off["enabled"], off["disabled_reason"]) == (False, "disabled by its owner")
    assert off["disabled_at"] is not None
    assert changed(api, webhook, {"enabled": False})["disabled_at"] == off["disabled_at"]
    ended(api.acme)
    assert [one["state"] for one in listed(api.acme, webhook)] == ["canceled"]
    on = changed(api, webhook, {"enabled": True})
    assert (on["enabled"], on["disabled_at"], on["disabled_reason"]) == (True, None, None)
    ended(api.acme)
    assert [one["state"] for one in listed(api.acme, webhook)] == ["pending", "canceled"]


def test_enabling_clears_what_a_failing_webhook_was_disabled_for(api: Api) -> None:
    webhook = made(api.acme)
    ended(api.acme)
    try_all(api.database, api.acme.tenant, webhook["id"], status=500, again_in_seconds=60)
    assert shown(api.acme, webhook)["failing_since"] is not None
    with api.database.begin(api.acme.tenant) as tx:
        webhooks.disable(tx, EndpointId(webhook["id"]), "it has failed for 5 days")
    assert shown(api.acme, webhook)["disabled_reason"] == "it has failed for 5 days"
    on = changed(api, webhook, {"enabled": True})
    assert (on["enabled"], on["disabled_reason"], on["failing_since"]) == (True, None, None)


def test_one_can_be_made_disabled(api: Api) -> None:
    webhook = made(api.acme, enabled=False)
    ended(api.acme)
    assert (webhook["enabled"], listed(api.acme, webhook)) == (False, [])


def test_a_deleted_webhook_is_gone_with_its_deliveries(api: Api) -> None:
    webhook = made(api.acme)
    ended(api.acme)
    assert ask(api.acme, "DELETE", f"/{webhook['id']}").status_code == 204
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/deliveries")):
        assert ask(api.acme, method, f"/{webhook['id']}{path}").status_code == 404
    with api.database.read(api.acme.tenant) as tx:
        assert tx.sql("SELECT count(*) FROM deliveries WHERE tenant_id = %(tenant)s").scalar_one() == 0


def test_after_a_rotation_both_secrets_sign_for_a_day(api: Api) -> None:
    webhook = made(api.acme, ed25519=True)
    rotated = ask(api.acme, "POST", f"/{webhook['id']}/rotate-secret").json()
    assert secrets_of(api, webhook) == [rotated["secret"], webhook["secret"]]
    until = datetime.fromisoformat(rotated["old_until"]) - datetime.now(UTC)
    assert timedelta(hours=23, minutes=59) < until <= timedelta(hours=24)
    assert shown(api.acme, webhook)["public_key"] == webhook["public_key"]


def test_an_old_secret_can_be_dropped_at_once(api: Api) -> None:
    webhook = made(api.acme)
    path = f"/{webhook['id']}/rotate-secret"
    rotated = ask(api.acme, "POST", path, json={"expire_old_after_seconds": 0}).json()
    assert (secrets_of(api, webhook), rotated["old_until"]) == ([rotated["secret"]], None)
    for seconds in (-1, 7 * 86_400 + 1, "soon"):
        answer = ask(api.acme, "POST", path, json={"expire_old_after_seconds": seconds})
        pointers = ["/expire_old_after_seconds"]
        assert_problem(answer.status_code, answer.headers, answer.json(), (422, "invalid_request"), pointers)
    assert secrets_of(api, webhook) == [rotated["secret"]]


def test_what_signs_notify_is_the_tenants_own(api: Api) -> None:
    mine, theirs = (ask(caller, "GET", "/signing-secret") for caller in (api.acme, api.other))
    keyring = api.served.service.settings.keyring
    assert keyring is not None
    assert mine.json() == {"secrets": list(tenant_signing(keyring, api.acme.tenant).secrets)}
    assert mine.headers["cache-control"] == "no-store"
    assert mine.json() != theirs.json()
