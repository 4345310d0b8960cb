"""Hides the values of secrets in what comes back from a third party: some of them echo what they were sent."""

import html
import json
from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO
from urllib.parse import quote, quote_plus

from storage.model import Json

PIECE_BYTES = 64 * 1024  # that are searched at a time: a stream may come byte by byte
SHORTEST = 6  # characters of a value that is looked for: shorter ones stand in many a text by chance


class Redaction:
    """Replaces each secret's value with its name, in text and in a stream of bytes.

    It is found as it is, and as URLs, JSON and HTML have it. The search is one for fixed bytes, so that no secret and
    no answer can make it slow: part of it runs between the calls of others. `reach`: bytes of the longest, but one.
    """

    def __init__(self, secrets: Mapping[str, str], *, piece_bytes: int = PIECE_BYTES) -> None:
        self._names = {
            spelling.encode(): f"[secret {name}]".encode()
            for name, value in secrets.items()
            if len(value) >= SHORTEST
            for spelling in _spellings(value)
        }
        self.reach = max(map(len, self._names), default=1) - 1
        self._piece_bytes = piece_bytes
        self._tail = bytearray()

    def text(self, given: str) -> str:
        """The text without the secrets."""
        if not self._names:
            return given
        whole = given.encode("utf-8", "surrogatepass")  # JSON may have such
        return self._hidden(whole, len(whole))[0].decode("utf-8", "surrogatepass")

    def value(self, given: Json) -> Json:
        """JSON without the secrets, in the names of fields, too."""
        if isinstance(given, str):
            return self.text(given)
        if isinstance(given, list):
            return [self.value(one) for one in given]
        if isinstance(given, dict):
            return {self.text(name): self.value(one) for name, one in given.items()}
        return given

    def beginning(self, given: bytes, most: int, *, is_all: bool) -> bytes:
        """At most so many bytes, without the secrets. Unless it is all, `given` has `reach` more.

        For a secret that is cut at the end could not be seen.
        """
        return self._hidden(given, len(given) - (0 if is_all else self.reach))[0][:most]

    def into(self, file: BinaryIO) -> Callable[[bytes], None]:
        """What writes a stream into the file without the secrets, wherever it is cut; call `end` at its end."""
        if not self._names:
            return lambda chunk: void(file.write(chunk))

        def write(chunk: bytes) -> None:
            self._tail += chunk
            if len(self._tail) >= self._piece_bytes + self.reach:
                hidden, end = self._hidden(bytes(self._tail), len(self._tail) - self.reach)
                file.write(hidden)
                del self._tail[:end]

        return write

    def end(self, file: BinaryIO) -> None:
        """Write what was held back, as it may have been the beginning of a secret."""
        file.write(self._hidden(bytes(self._tail), len(self._tail))[0])
        self._tail.clear()

    def _hidden(self, given: bytes, until: int) -> tuple[bytes, int]:
        """What begins before `until`, without the secrets, and where that ends."""
        made, position = bytearray(), 0
        for begin, end, name in sorted(self._found(given), key=lambda place: (place[0], -place[1])):
            if begin >= until:
                break
            if begin >= position:
                made += given[position:begin] + name
            position = max(position, end)
        end = max(position, until)
        return bytes(made + given[position:end]), end

    def _found(self, given: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Where secrets stand: begin, end, name."""
        for spelling, name in self._names.items():
            begin = given.find(spelling)
            while begin >= 0:
                yield begin, begin + len(spelling), name
                begin = given.find(spelling, begin + len(spelling))


def _spellings(value: str) -> set[str]:
    """How the value may be written; hexadecimal digits in upper and lower case."""
    in_json = {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    in_json |= {text.replace("/", "\\/") for text in in_json}
    in_json |= {json.dumps(text)[1:-1] for text in in_json}  # within text that is JSON itself
    in_urls = {quote(value, safe=""), quote(value), quote_plus(value), quote_plus(value, safe="/")}
    in_urls |= {_lower_hex(text) for text in in_urls}
    return {value, html.escape(value), html.escape(value).replace("&#x27;", "&#39;"), *in_json, *in_urls}


def _lower_hex(encoded: str) -> str:
    first, *others = encoded.split("%")
    return "%".join([first, *(other[:2].lower() + other[2:] for other in others)])


def void(_: object) -> None:
    """For a function of which nothing is wanted back."""
