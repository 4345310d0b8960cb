import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.images.model import ImageRejected
from tasks.images.quality import best


class Encoder:
    """Files whose size grows with the quality."""

    def __init__(self, per_level: int = 10) -> None:
        self.per_level = per_level
        self.tried: list[int] = []

    def __call__(self, quality: int) -> bytes:
        self.tried.append(quality)
        return bytes([quality]) * (quality * self.per_level)


@given(most=st.integers(1, 100), max_bytes=st.integers(1, 1_100))
def test_the_best_that_fits_is_found_within_seven_tries(most: int, max_bytes: int) -> None:
    encode = Encoder()
    fitting = [quality for quality in range(1, most + 1) if quality * 10 <= max_bytes]

    if not fitting:
        with pytest.raises(ImageRejected) as caught:
            best(encode, most, max_bytes)
        assert caught.value.code == "max_bytes_unreachable"
    else:
        found = best(encode, most, max_bytes)[0]
        assert found in fitting
        assert found >= fitting[-1] - (0 if most <= 64 else 1)
    assert len(encode.tried) <= 7
    assert len(set(encode.tried)) == len(encode.tried)


def test_what_fits_at_once_is_tried_once() -> None:
    for max_bytes in (None, 800):
        encode = Encoder()
        assert best(encode, 80, max_bytes) == bytes([80]) * 800
        assert encode.tried == [80]


def test_what_is_returned_fits_even_if_sizes_jump() -> None:
    def encode(quality: int) -> bytes:
        return bytes(quality * 10 + (300 if quality % 7 == 0 else 0))

    for max_bytes in range(10, 900, 10):
        assert len(best(encode, 90, max_bytes)) <= max_bytes
