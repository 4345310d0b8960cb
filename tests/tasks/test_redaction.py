"""What hides the values of secrets in what comes back."""

import time
from io import BytesIO

from hypothesis import given
from hypothesis import strategies as st

from tasks.redaction import SHORTEST, Redaction

VALUES = {"one": "abcabc-1", "two": "abcabc-12"}


def test_the_longer_of_two_values_is_hidden_whole() -> None:
    assert Redaction(VALUES).text("x abcabc-12 y abcabc-1") == "x [secret two] y [secret one]"


def test_without_secrets_nothing_changes() -> None:
    file = BytesIO()
    nothing = Redaction({"short": "x" * (SHORTEST - 1)})
    write = nothing.into(file)
    write(b"xxxxxxxxx")
    nothing.end(file)
    assert (file.getvalue(), nothing.text("xxxxx")) == (b"xxxxxxxxx", "xxxxx")


@given(st.lists(st.sampled_from([b"abcabc-1", b"abc", b"-12", b"\xff", b"abcabc-12", b"z"]), max_size=30), st.data())
def test_no_value_passes_however_a_stream_is_cut(parts: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(parts)
    redaction, file = Redaction({"two": VALUES["two"]}, piece_bytes=data.draw(st.integers(0, 9))), BytesIO()
    write, position = redaction.into(file), 0
    while position < len(whole):
        step = data.draw(st.integers(1, 12))
        write(whole[position : position + step])
        position += step
    redaction.end(file)
    assert file.getvalue() == whole.replace(b"abcabc-12", b"[secret two]")


@given(st.lists(st.sampled_from([b"abcabc-1", b"abc", b"-12", b"abcabc-12", b"z"]), max_size=30), st.data())
def test_no_part_of_a_value_passes_where_an_answer_is_cut(parts: list[bytes], data: st.DataObject) -> None:
    whole, redaction = b"".join(parts), Redaction({"two": VALUES["two"]})
    most = data.draw(st.integers(0, len(whole)))
    came = whole[: most + redaction.reach]
    shown = redaction.beginning(came, most, is_all=came == whole)
    assert len(shown) <= most
    assert whole.replace(b"abcabc-12", b"[secret two]").startswith(shown)


def test_overlapping_values_are_hidden_whole() -> None:
    assert Redaction({"a": "abcdefgh", "b": "efghijkl"}).text("-abcdefghijkl-") == "-[secret a]-"


def test_a_name_that_is_another_secrets_value_is_not_looked_at_again() -> None:
    assert Redaction({"secret": "[secret", "b": "secret"}).text("secret") == "[secret b]"


def test_a_value_and_an_answer_made_to_be_slow_are_not() -> None:
    file, slow = BytesIO(), Redaction({"slow": "a" * 8191 + "b", "also": "/" * 8191 + "a"})
    write, began = slow.into(file), time.process_time()
    for _ in range(64):
        write(b"a" * 65_536)
        write(b"/" * 65_536)
    slow.end(file)
    assert time.process_time() - began < 5, "a search that goes back takes minutes"
    assert len(file.getvalue()) >= 64 * 65_536
