"""What signs a webhook is what Standard Webhooks 1.0.0 says, and what verifies it lets nothing else through."""

import base64
import math
from datetime import UTC, datetime, timedelta, timezone
from itertools import product

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from storage.model import TenantId
from storage.sealing import Keyring
from tasks.signatures import (
    SIGNATURE,
    SignatureInvalid,
    Signing,
    headers,
    new_secret,
    new_signing_key,
    public_key,
    tenant_signing,
    verify,
)

NOW = datetime(2026, 11, 26, 15, 0, 0, 250_000, tzinfo=UTC)
MESSAGE = "msg_01kb0000000000000000000000_7"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = new_secret()
SIGNING_KEY = "whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk="
BODY = b'{"type":"job.succeeded"}'


def _sent(*, secrets: tuple[str, ...] = (SECRET,), ed25519: tuple[str, ...] = (), body: bytes = BODY) -> dict[str, str]:
    return headers(Signing(secrets=secrets, ed25519=ed25519), MESSAGE, NOW, body)


def test_the_published_examples_are_signed_as_published() -> None:
    """Those of the reference libraries' own tests (JavaScript and Go)."""
    at = datetime.fromtimestamp(1614265330, tz=UTC)
    signing = Signing(secrets=[SECRET], ed25519=[SIGNING_KEY])
    assert headers(signing, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, b'{"test": 2432232314}') == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= "
        "v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag==",
    }


@pytest.mark.parametrize("hours", [-11, 0, 5.75, 14])
def test_the_timestamp_is_in_whole_seconds_utc_whatever_the_zone(hours: float) -> None:
    at = NOW.astimezone(timezone(timedelta(hours=hours)))
    signed = headers(Signing(secrets=[SECRET]), MESSAGE, at, BODY)
    assert signed == _sent()
    assert signed["webhook-timestamp"] == str(math.floor(NOW.timestamp()))


@given(body=st.binary(), secret_bytes=st.binary(min_size=24, max_size=64))
def test_what_is_signed_is_verified_and_nothing_else(body: bytes, secret_bytes: bytes) -> None:
    secret = "whsec_" + base64.b64encode(secret_bytes).decode()
    sent = _sent(secrets=(secret,), ed25519=(SIGNING_KEY,), body=body)
    for key in (secret, public_key(SIGNING_KEY)):
        verify([key], sent, body, now=NOW)
        for wrong_headers, wrong_body in (
            (sent, body + b"\n"),
            (sent | {"webhook-id": MESSAGE[:-1] + "8"}, body),
            (sent | {"webhook-timestamp": str(int(sent["webhook-timestamp"]) + 1)}, body),
        ):
            with pytest.raises(SignatureInvalid):
                verify([key], wrong_headers, wrong_body, now=NOW)


def test_while_secrets_rotate_each_of_them_verifies() -> None:
    sent = _sent(secrets=(OTHER, SECRET), ed25519=(SIGNING_KEY,))
    assert [signature.partition(",")[0] for signature in sent[SIGNATURE].split(" ")] == ["v1", "v1", "v1a"]
    for secrets in ([OTHER], [SECRET], [public_key(SIGNING_KEY)], [new_secret(), SECRET]):
        verify(secrets, sent, BODY, now=NOW)
    for secrets in ([new_secret()], [public_key(new_signing_key())], []):
        with pytest.raises(SignatureInvalid, match="no signature is one"):
            verify(secrets, sent, BODY, now=NOW)


def test_a_public_key_and_a_secret_do_not_stand_in_for_each_other() -> None:
    public = public_key(SIGNING_KEY)
    as_secret = public.replace("whpk_", "whsec_")  # who knows the public key must not be able to sign with it
    forged = _sent(secrets=(as_secret,))
    for version in ("v1", "v1a"):
        renamed = forged | {SIGNATURE: forged[SIGNATURE].replace("v1,", f"{version},")}
        with pytest.raises(SignatureInvalid):
            verify([public], renamed, BODY, now=NOW)


@pytest.mark.parametrize(("seconds", "is_fresh"), [(-300, True), (-301, False), (300, True), (301, False)])
def test_a_message_may_be_five_minutes_old_or_early(seconds: int, is_fresh: bool) -> None:
    now = NOW.replace(microsecond=0) - timedelta(seconds=seconds)
    if is_fresh:
        verify([SECRET], _sent(), BODY, now=now)
        return
    with pytest.raises(SignatureInvalid, match="more than 300 seconds from now"):
        verify([SECRET], _sent(), BODY, now=now)
    verify([SECRET], _sent(), BODY, now=now, tolerance_seconds=301)


def test_signatures_that_are_unknown_or_malformed_do_not_hide_the_right_one() -> None:
    right = _sent()[SIGNATURE]
    for odd in ("v2,abcd", "v1", "v1,", "v1,???", "v1a,AAAA", "", ",", "v1,é", "V1,abcd"):
        verify([SECRET], _sent() | {SIGNATURE: f"{odd} {right} {odd}"}, BODY, now=NOW)


def test_the_case_of_the_headers_names_does_not_matter() -> None:
    verify([SECRET], {name.title(): value for name, value in _sent().items()}, BODY, now=NOW)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
@pytest.mark.parametrize(
    "value", [None, "", "é", "\ud800", "msg.7", "\uff11\uff16", "1e9", "-1", "+1", "1_0", "9" * 5000, "a\nb"]
)
def test_a_header_that_is_missing_or_malformed_is_refused(name: str, value: str | None) -> None:
    sent = {other: text for other, text in _sent().items() if other != name}
    with pytest.raises(SignatureInvalid):
        verify([SECRET], sent if value is None else sent | {name: value}, BODY, now=NOW)


@given(
    values=st.fixed_dictionaries({}, optional={name: st.text() for name in _sent()}),
    parts=st.lists(st.one_of(st.text(), st.text().map("v1,".__add__), st.text().map("v1a,".__add__))),
    secret=st.one_of(st.text(), st.text().map("whsec_".__add__), st.text().map("whpk_".__add__)),
)
def test_nothing_but_signature_invalid_ever_escapes(values: dict[str, str], parts: list[str], secret: str) -> None:
    for sent in (values, _sent() | values, _sent() | {SIGNATURE: " ".join(parts)}):
        with pytest.raises(SignatureInvalid):
            verify([secret, OTHER], sent, BODY, now=NOW)


WRONG_BYTES = [base64.b64encode(bytes(size)).decode() for size in (0, 23, 65)] + ["???", "é", "AAA"]


@pytest.mark.parametrize(("prefix", "text"), [*product(["whsec_", "whsk_", "", "WHSEC_"], WRONG_BYTES)])
def test_a_secret_that_is_none_signs_and_verifies_nothing_and_is_not_repeated(prefix: str, text: str) -> None:
    for signing in (Signing(secrets=[prefix + text]), Signing(secrets=[], ed25519=[prefix + text])):
        with pytest.raises(ValueError, match=r"not wh.* bytes") as refused:
            headers(signing, MESSAGE, NOW, BODY)
        assert not text or text not in str(refused.value)
    with pytest.raises(SignatureInvalid):
        verify([prefix + text], _sent(), BODY, now=NOW)


@pytest.mark.parametrize(
    ("signing", "message_id", "at", "why"),
    [
        (Signing(secrets=[]), MESSAGE, NOW, "no secret"),
        (Signing(secrets=[SECRET]), "msg.1", NOW, "full stop"),  # "msg.1" and 1 second would read like "msg" and 1.1
        (Signing(secrets=[SECRET]), "msg 1", NOW, "visible"),
        (Signing(secrets=[SECRET]), "", NOW, "visible"),
        (Signing(secrets=[SECRET]), MESSAGE, NOW.replace(tzinfo=None), "zone"),
    ],
)
def test_what_could_not_be_verified_is_not_signed(signing: Signing, message_id: str, at: datetime, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        headers(signing, message_id, at, BODY)


def test_new_keys_are_random_and_of_the_right_form() -> None:
    assert len({new_secret() for _ in range(100)} | {new_signing_key() for _ in range(100)}) == 200
    assert len(base64.b64decode(new_secret().removeprefix("whsec_"))) == 32
    signing_key = new_signing_key()
    private = Ed25519PrivateKey.from_private_bytes(base64.b64decode(signing_key.removeprefix("whsk_")))
    public = public_key(signing_key)
    assert base64.b64decode(public.removeprefix("whpk_")) == private.public_key().public_bytes_raw()


def test_ed25519_signs_the_very_bytes() -> None:
    body = b"\xff\x00 not text"
    sent = _sent(secrets=(), ed25519=(SIGNING_KEY,), body=body)
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key(SIGNING_KEY).removeprefix("whpk_")))
    signature = base64.b64decode(sent[SIGNATURE].removeprefix("v1a,"))
    key.verify(signature, f"{MESSAGE}.{sent['webhook-timestamp']}.".encode() + body)


def test_a_tenants_signing_is_its_own_and_outlives_a_change_of_the_operators_key() -> None:
    acme, other = TenantId("ten_acme"), TenantId("ten_other")
    old, new = "o" * 32, "n" * 32
    before, during = tenant_signing(Keyring([old]), acme), tenant_signing(Keyring([new, old]), acme)
    assert during.secrets == [*tenant_signing(Keyring([new]), acme).secrets, *before.secrets]
    assert tenant_signing(Keyring([old]), acme).secrets == before.secrets
    sent = headers(during, MESSAGE, NOW, BODY)
    verify(before.secrets, sent, BODY, now=NOW)
    with pytest.raises(SignatureInvalid):
        verify(tenant_signing(Keyring([new, old]), other).secrets, sent, BODY, now=NOW)


def test_secrets_are_not_in_what_is_printed() -> None:
    assert SECRET not in repr(Signing(secrets=[SECRET], ed25519=[SIGNING_KEY]))
    assert SIGNING_KEY not in repr(Signing(secrets=[SECRET], ed25519=[SIGNING_KEY]))
