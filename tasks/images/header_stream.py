"""The bytes of a file, as those read them who trust none of its lengths. Pure."""

from io import SEEK_END
from typing import BinaryIO, Literal

from tasks.images import refusals

Order = Literal["big", "little"]


class Stream:
    """A place in a file of known size; nothing is read or allocated beyond its end."""

    def __init__(self, file: BinaryIO) -> None:
        """The file must be able to seek; it stays open."""
        self._file = file
        self.size = file.seek(0, SEEK_END)
        self.place = file.seek(0)

    @property
    def left(self) -> int:
        return self.size - self.place

    def take(self, count: int) -> bytes:
        """The next so many bytes. Raises ImageRejected `image_truncated` where there are fewer."""
        if not 0 <= count <= self.size - self.place:
            raise refusals.truncated()
        data = self._file.read(count)
        if len(data) != count:
            raise refusals.truncated()
        self.place += count
        return data

    def number(self, count: int, order: Order = "big") -> int:
        """The next so many bytes as a number without a sign. Raises ImageRejected."""
        return int.from_bytes(self.take(count), order)

    def seek(self, place: int) -> None:
        """Go there from the file's beginning. Raises ImageRejected `image_truncated` beyond its end."""
        if not 0 <= place <= self.size:
            raise refusals.truncated()
        self.place = self._file.seek(place)

    def skip(self, count: int) -> None:
        """Go on by so many bytes. Raises ImageRejected `image_truncated` beyond the end."""
        self.seek(self.place + count)
