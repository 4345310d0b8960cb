"""Signs what is sent as a webhook, and verifies it: Standard Webhooks 1.0.0. Pure but for the random bytes of new keys.

What is signed is `id.timestamp.body`, over bytes, so a body need be neither JSON nor UTF-8. A secret is `whsec_` and
the base64 of 24 to 64 bytes, and signs as `v1` (HMAC-SHA256, RFC 2104); a signing key is `whsk_` and the base64 of the
32 bytes of an Ed25519 private key (RFC 8032), and signs as `v1a`; `whpk_` is the public one, of 32 bytes as well.
"""

import base64
import hashlib
import hmac
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from storage.model import TenantId
from storage.sealing import Keyring
from tasks.errors import TasksError

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
TOLERANCE_SECONDS = 300.0

_SECRET, _SIGNING_KEY, _PUBLIC_KEY = "whsec_", "whsk_", "whpk_"
_SECRET_BYTES = range(24, 65)
_KEY_BYTES = range(32, 33)
_NEW_SECRET_BYTES = 32
_MESSAGE_ID = re.compile(r"[!-\-/-~]+")  # visible ASCII, and no full stop: it ends the id in what is signed
_SECONDS = re.compile(r"[0-9]{1,11}")


class SignatureInvalid(TasksError):
    """What came is not what one of the secrets has signed, or not now; the message says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Signing:
    """What signs a message: every secret and key adds a signature, so each of them verifies it while they change."""

    secrets: Sequence[str] = field(repr=False)  # whsec_…, the newest first
    ed25519: Sequence[str] = field(default=(), repr=False)  # whsk_…, the newest first


def new_secret() -> str:
    """A random secret of 256 bits, `whsec_…`."""
    return _written(_SECRET, os.urandom(_NEW_SECRET_BYTES))


def new_signing_key() -> str:
    """A random Ed25519 key that signs, `whsk_…`."""
    return _written(_SIGNING_KEY, Ed25519PrivateKey.generate().private_bytes_raw())


def public_key(signing_key: str) -> str:
    """The `whpk_…` that verifies what the `whsk_…` signs. Raises ValueError."""
    return _written(_PUBLIC_KEY, _private(signing_key).public_key().public_bytes_raw())


def tenant_signing(keyring: Keyring, tenant: TenantId) -> Signing:
    """What signs a job's `notify` and what a listener gets: one secret per key of the ring, kept nowhere."""
    return Signing(secrets=[_written(_SECRET, derived) for derived in keyring.derived(f"webhook signing {tenant}")])


def headers(signing: Signing, message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The three headers of a message that is sent at this time, in whatever zone it is told.

    Raises ValueError: nothing signs, a key is malformed, the id cannot be signed, or the time has no zone.
    """
    if not _MESSAGE_ID.fullmatch(message_id):
        raise ValueError("a message's id is visible ASCII without a full stop")
    if at.tzinfo is None:
        raise ValueError("a message's time needs a zone")
    timestamp = str(int(at.timestamp()))
    content = _content(message_id, timestamp, body)
    signatures = [f"v1,{_base64(_hmac(secret, content))}" for secret in signing.secrets]
    signatures += [f"v1a,{_base64(_private(key).sign(content))}" for key in signing.ed25519]
    if not signatures:
        raise ValueError("there is no secret to sign with")
    return {ID: message_id, TIMESTAMP: timestamp, SIGNATURE: " ".join(signatures)}


def verify(
    secrets: Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: datetime,
    tolerance_seconds: float = TOLERANCE_SECONDS,
) -> None:
    """Raise SignatureInvalid, and nothing else, unless one of the secrets (`whsec_…`, `whpk_…`) has signed this.

    The message may be as old, and as far in the future, as is tolerated. Unknown versions are passed over.
    """
    given = {name.lower(): value for name, value in headers.items()}
    message_id, timestamp = given.get(ID, ""), given.get(TIMESTAMP, "")
    if not _MESSAGE_ID.fullmatch(message_id):
        raise SignatureInvalid(f"{ID} is missing or malformed")
    if not _SECONDS.fullmatch(timestamp):
        raise SignatureInvalid(f"{TIMESTAMP} is missing or malformed")
    if abs(now.timestamp() - int(timestamp)) > tolerance_seconds:
        raise SignatureInvalid(f"{TIMESTAMP} is more than {tolerance_seconds:g} seconds from now")
    signatures = _signatures(given.get(SIGNATURE, ""))
    content = _content(message_id, timestamp, body)
    try:
        matches = any(_matches(secret, signatures, content) for secret in secrets)
    except ValueError as exc:
        raise SignatureInvalid(str(exc)) from exc
    if not matches:
        raise SignatureInvalid("no signature is one of these secrets'")


def _signatures(header: str) -> list[tuple[str, bytes]]:
    """The versions and bytes of the signatures; what is malformed can match nothing, and is left out."""
    found = []
    for part in header.split(" "):
        version, _, text = part.partition(",")
        try:
            found.append((version, base64.b64decode(text, validate=True)))
        except ValueError:
            continue
    return found


def _matches(secret: str, signatures: Sequence[tuple[str, bytes]], content: bytes) -> bool:
    if secret.startswith(_PUBLIC_KEY):
        key = Ed25519PublicKey.from_public_bytes(_bytes(secret, _PUBLIC_KEY, _KEY_BYTES))
        return any(_signed(key, signature, content) for version, signature in signatures if version == "v1a")
    expected = _hmac(secret, content)
    return any(hmac.compare_digest(signature, expected) for version, signature in signatures if version == "v1")


def _signed(key: Ed25519PublicKey, signature: bytes, content: bytes) -> bool:
    try:
        key.verify(signature, content)
    except InvalidSignature:
        return False
    return True


def _content(message_id: str, timestamp: str, body: bytes) -> bytes:
    return b"%s.%s.%s" % (message_id.encode(), timestamp.encode(), body)


def _hmac(secret: str, content: bytes) -> bytes:
    return hmac.digest(_bytes(secret, _SECRET, _SECRET_BYTES), content, hashlib.sha256)


def _private(signing_key: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(_bytes(signing_key, _SIGNING_KEY, _KEY_BYTES))


def _bytes(text: str, prefix: str, sizes: range) -> bytes:
    """What stands behind the prefix. Raises ValueError, which does not repeat the secret."""
    try:
        data = base64.b64decode(text.removeprefix(prefix), validate=True) if text.startswith(prefix) else b""
    except ValueError:
        data = b""
    if len(data) not in sizes:
        raise ValueError(f"not {prefix} and the base64 of {sizes[0]} to {sizes[-1]} bytes")
    return data


def _written(prefix: str, data: bytes) -> str:
    return prefix + _base64(data)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
