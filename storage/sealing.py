"""Seals what must not stand readable in a row, with the operator's SECRET_KEY; keys can be changed one after another.

AES-256-GCM (NIST SP 800-38D) under keys that HKDF-SHA256 (RFC 5869) makes of the operator's, a random nonce of 96 bits
each time. A sealed value is bound to its place: moved to another row it cannot be opened.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from storage.errors import ConfigurationError, SecretUnreadable

NONCE_BYTES = 12
LEAST_CHARACTERS = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Sealed:
    """A sealed value and the id of the key that opens it."""

    key_id: str
    data: bytes


class Keyring:
    """The operator's keys: the first seals, all of them open."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._sealing = {_id_of(key): AESGCM(_derived(key, b"millrace sealing")) for key in keys}
        self._keys = tuple(keys)

    @property
    def current_id(self) -> str:
        """Eight hexadecimal digits that stand for the key that seals."""
        return _id_of(self._keys[0])

    def seal(self, plain: bytes, *, place: str) -> Sealed:
        """Seal a value for its place, such as "tenant/secret/name"."""
        nonce = os.urandom(NONCE_BYTES)
        data = nonce + self._sealing[self.current_id].encrypt(nonce, plain, place.encode())
        return Sealed(key_id=self.current_id, data=data)

    def open(self, sealed: Sealed, *, place: str) -> bytes:
        """The value that was sealed for this place. Raises SecretUnreadable."""
        opening = self._sealing.get(sealed.key_id)
        if opening is None:
            raise SecretUnreadable(f"sealed with the key {sealed.key_id}, which is not among this process's")
        nonce, data = sealed.data[:NONCE_BYTES], sealed.data[NONCE_BYTES:]
        try:
            return opening.decrypt(nonce, data, place.encode())
        except (InvalidTag, ValueError) as exc:
            raise SecretUnreadable("not what was sealed for this place") from exc

    def derived(self, purpose: str) -> list[bytes]:
        """32 secret bytes for a purpose, of the current key and then of each older one."""
        return [_derived(key, purpose.encode()) for key in self._keys]


def keyring_from_env(env: Mapping[str, str]) -> Keyring | None:
    """Read SECRET_KEY, and SECRET_KEY_FALLBACKS: older keys, with commas; None if there is no SECRET_KEY.

    Raises ConfigurationError.
    """
    current = env.get("SECRET_KEY", "")
    older = [key.strip() for key in env.get("SECRET_KEY_FALLBACKS", "").split(",") if key.strip()]
    if not current:
        if older:
            raise ConfigurationError("SECRET_KEY_FALLBACKS is set, and SECRET_KEY is not")
        return None
    for name, keys in (("SECRET_KEY", [current]), ("SECRET_KEY_FALLBACKS", older)):
        if any(len(key) < LEAST_CHARACTERS for key in keys):
            raise ConfigurationError(f"{name} must have at least {LEAST_CHARACTERS} random characters")
    if "," in current or current != current.strip():  # it could not stand among the fallbacks later
        raise ConfigurationError("SECRET_KEY must have no commas, and no spaces around it")
    return Keyring([current, *older])


def _id_of(key: str) -> str:
    return hashlib.sha256(b"millrace key id\0" + key.encode()).hexdigest()[:8]


def _derived(key: str, info: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(key.encode())
