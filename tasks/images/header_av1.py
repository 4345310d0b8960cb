"""The size that the data of an AVIF's pixels tells, whatever its properties say (AV1 specification, 5.5). Pure."""

from dataclasses import dataclass

SEQUENCE_HEADER = 1
MAX_UNITS = 4  # before which the sequence header stands
BYTES = 256  # of an item that are looked at


@dataclass(slots=True)
class _Bits:
    """Bits from the highest on; what lies beyond the end is 0."""

    data: bytes
    at: int = 0

    def take(self, count: int) -> int:
        begin, self.at = self.at, self.at + count
        piece = int.from_bytes(self.data[begin // 8 : (self.at + 7) // 8].ljust((self.at + 7) // 8 - begin // 8, b"\0"))
        return piece >> (-self.at % 8) & ((1 << count) - 1)


def size(data: bytes) -> tuple[int, int] | None:
    """The largest width and height that a frame may have, by the first bytes of an item; None if they do not tell."""
    at = 0
    for _ in range(MAX_UNITS):
        if at >= len(data):
            return None
        head = data[at]
        at += 2 if head & 4 else 1  # with an extension of one byte
        length, at = _leb128(data, at) if head & 2 else (len(data) - at, at)
        if head >> 3 & 15 == SEQUENCE_HEADER:
            return _sequence(_Bits(data[at : at + length]))
        at += length
    return None


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and the place behind it (4.10.5)."""
    value = 0
    for shift, byte in enumerate(data[at : at + 8]):
        value |= (byte & 0x7F) << 7 * shift
        if not byte & 0x80:
            return value, at + shift + 1
    return value, at + 8


def _sequence(bits: _Bits) -> tuple[int, int]:
    bits.take(4)  # profile, still picture
    if bits.take(1):  # reduced header
        bits.take(5)
    else:
        _points(bits)
    across, down = bits.take(4) + 1, bits.take(4) + 1
    return bits.take(across) + 1, bits.take(down) + 1


def _points(bits: _Bits) -> None:
    """Pass over timing and operating points (5.5.1 to 5.5.4)."""
    delay_bits = 0
    if bits.take(1):  # timing
        bits.take(64)
        if bits.take(1):  # equal intervals: a number that begins with as many zeros as it has bits behind its first
            zeros = 0
            while zeros < 32 and not bits.take(1):
                zeros += 1
            bits.take(zeros if zeros < 32 else 0)
        if bits.take(1):  # a model of the decoder
            delay_bits = bits.take(5) + 1
            bits.take(42)
    delays = bits.take(1)
    for _ in range(bits.take(5) + 1):
        bits.take(12)
        if bits.take(5) > 7:
            bits.take(1)
        if delay_bits and bits.take(1):
            bits.take(2 * delay_bits + 1)
        if delays and bits.take(1):
            bits.take(4)
