"""Lines out of bytes as they come, whatever pieces they come in; none is held that is longer than it may be. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

_MARK = b"\xef\xbb\xbf"  # some editors write it before UTF-8 (a byte order mark)


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A line with something in it, by its number from 1; `raw` is None where it is longer than it may be."""

    number: int
    raw: bytes | None


class Lines:
    """Takes pieces of a body and gives its lines, without their ends (LF or CR LF); empty ones are only counted."""

    def __init__(self, most_bytes: int) -> None:
        """A line may have `most_bytes`; of a longer one the rest is forgotten as it comes."""
        self._most_bytes = most_bytes
        self._begun = bytearray()
        self._is_long = False
        self._number = 0

    def feed(self, piece: bytes) -> Iterator[Line]:
        """The lines that this piece ends. Go through all of them before the next piece."""
        start = 0
        while (end := piece.find(b"\n", start)) >= 0:
            self._hold(piece, start, end)
            yield from self._ended()
            start = end + 1
        self._hold(piece, start, len(piece))

    def end(self) -> Iterator[Line]:
        """The last line, if the body ends without a line's end."""
        if self._begun or self._is_long:
            yield from self._ended()

    def _hold(self, piece: bytes, start: int, end: int) -> None:
        if self._is_long:
            return
        if len(self._begun) + end - start > self._most_bytes + 1:  # a CR at its end is no part of it
            self._begun.clear()
            self._is_long = True
            return
        self._begun += memoryview(piece)[start:end]

    def _ended(self) -> Iterator[Line]:
        self._number += 1
        raw, is_long = bytes(self._begun), self._is_long
        self._begun.clear()
        self._is_long = False
        if self._number == 1:
            raw = raw.removeprefix(_MARK)
        raw = raw.removesuffix(b"\r")
        if is_long or len(raw) > self._most_bytes:
            yield Line(number=self._number, raw=None)
        elif raw.strip():
            yield Line(number=self._number, raw=raw)
