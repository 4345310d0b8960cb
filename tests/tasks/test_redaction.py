"""What hides the values of secrets in what comes back."""

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
    redaction, file = Redaction({"two": VALUES["two"]}), BytesIO()
    write, position = redaction.into(file), 0
    while position < len(whole):
        step = data.draw(st.integers(1, 12))
        write(whole[position : position + step])
        position += step
    redaction.end(file)
    assert file.getvalue() == whole.replace(b"abcabc-12", b"[secret two]")
