"""The boxes of AVIF and HEIC files (ISO/IEC 14496-12, 4.2). Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from tasks.images import refusals
from tasks.images.header_stream import Stream

MAX_BOXES = 20_000  # of one file; a picture of tiles has some hundred


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """A box's `type`, and where its content begins and ends in the file."""

    type: bytes
    begin: int
    end: int


class Boxes:
    """Reads boxes of one file, and not without end."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._left = MAX_BOXES

    def within(self, begin: int, end: int) -> Iterator[Box]:
        """The boxes that stand there, one after the other; the last may reach beyond a file that is cut short.

        Raises ImageRejected.
        """
        place = begin
        while place + 8 <= end:
            self._left -= 1
            if self._left < 0:
                raise refusals.unreadable(f"The file has more than {MAX_BOXES:,} boxes.", "Save it again.")
            self.stream.seek(place)
            size, type_, head = self.stream.number(4), self.stream.take(4), 8
            if size == 1:
                size, head = self.stream.number(8), 16
            elif size == 0:
                size = end - place
            if size < head:
                raise refusals.unreadable()
            yield Box(type=type_, begin=place + head, end=min(place + size, end))
            place += size

    def first(self, box: Box, *path: bytes, skip: int = 0) -> Box | None:
        """The first box along a path of types below this one, whose content begins `skip` bytes late."""
        for type_ in path:
            inner = next((one for one in self.within(box.begin + skip, box.end) if one.type == type_), None)
            if inner is None:
                return None
            box, skip = inner, 0
        return box
