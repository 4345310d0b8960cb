"""Hides the values of secrets in what comes back from a third party: some of them echo what they were sent."""

import re
from collections.abc import Callable, Mapping
from typing import BinaryIO

SHORTEST = 6  # characters of a value that is looked for: shorter ones stand in many a text by chance


class Redaction:
    """Replaces each secret's value with its name, in text and in a stream of bytes."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        hidden = {value: name for name, value in secrets.items() if len(value) >= SHORTEST}
        longest_first = sorted(hidden, key=len, reverse=True)
        self._names = hidden
        self._text = re.compile("|".join(map(re.escape, longest_first))) if hidden else None
        self._bytes = re.compile(b"|".join(re.escape(value.encode()) for value in longest_first)) if hidden else None
        self._overlap = max((len(value.encode()) for value in hidden), default=1) - 1
        self._tail = b""

    def text(self, given: str) -> str:
        """The text without the secrets."""
        if self._text is None:
            return given
        return self._text.sub(lambda found: f"[secret {self._names[found[0]]}]", given)

    def into(self, file: BinaryIO) -> Callable[[bytes], None]:
        """What writes a stream into the file without the secrets, wherever it is cut; call `end` at its end."""
        if self._bytes is None:
            return lambda chunk: void(file.write(chunk))

        def write(chunk: bytes) -> None:
            held = self._hide(self._tail + chunk)
            cut = max(0, len(held) - self._overlap)
            file.write(held[:cut])
            self._tail = held[cut:]

        return write

    def end(self, file: BinaryIO) -> None:
        """Write what was held back, as it may have been the beginning of a secret."""
        file.write(self._tail)
        self._tail = b""

    def _hide(self, given: bytes) -> bytes:
        assert self._bytes is not None
        return self._bytes.sub(lambda found: f"[secret {self._names[found[0].decode()]}]".encode(), given)


def void(_: object) -> None:
    """For a function of which nothing is wanted back."""
