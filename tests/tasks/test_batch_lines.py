"""Lines out of bytes: the same ones, whatever pieces the bytes come in."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tasks.batch_lines import Line, Lines

MOST = 8
BODIES = st.lists(st.sampled_from([b"a", b"{}", b" ", b"\t", b"\r", b"\n", b"\r\n", b"\xef\xbb\xbf", b"x" * MOST])).map(
    b"".join
)


def read(pieces: list[bytes]) -> list[Line]:
    lines = Lines(MOST)
    return [line for piece in pieces for line in lines.feed(piece)] + list(lines.end())


def expected(body: bytes) -> list[Line]:
    """The same by splitting all of it at once."""
    found = []
    for number, raw in enumerate(body.split(b"\n"), start=1):
        plain = (raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw).removesuffix(b"\r")
        if len(plain) > MOST:
            found.append(Line(number=number, raw=None))
        elif plain.strip():
            found.append(Line(number=number, raw=plain))
    return found


@given(body=BODIES, cuts=st.lists(st.integers(0, 60), max_size=8))
def test_lines_are_the_same_whatever_pieces_they_come_in(body: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    pieces = [body[start:end] for start, end in pairwise(places)]
    assert read(pieces) == expected(body)


def test_of_a_line_that_is_too_long_nothing_is_held() -> None:
    lines = Lines(MOST)
    for _ in range(100):
        assert list(lines.feed(b"x" * 1000)) == []
        assert len(lines._begun) <= MOST + 1
    assert list(lines.feed(b"\n{}\n")) == [Line(number=1, raw=None), Line(number=2, raw=b"{}")]
