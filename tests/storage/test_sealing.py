"""What is sealed is opened in its own place, with a key of the ring, and not otherwise."""

import traceback
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import ConfigurationError, SecretUnreadable
from storage.sealing import NONCE_BYTES, Keyring, Sealed, keyring_from_env

OLD, NEW = "old-key-of-the-tests-and-of-nobody", "new-key-of-the-tests-and-of-nobody"
PLACE = "tnt_1/secrets/crm"
RING = Keyring([OLD])

places = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(plain=st.binary(), place=places)
def test_what_is_sealed_is_opened_in_its_place(plain: bytes, place: str) -> None:
    assert RING.open(RING.seal(plain, place=place), place=place) == plain


@given(place=places, other=places)
def test_in_another_place_it_is_not_opened(place: str, other: str) -> None:
    sealed = RING.seal(b"tok", place=place)
    if place != other:
        with pytest.raises(SecretUnreadable, match="not what was sealed for this place"):
            RING.open(sealed, place=other)


def test_a_change_of_any_byte_is_noticed() -> None:
    sealed = RING.seal(b"tok", place=PLACE)
    for position in range(len(sealed.data)):
        data = bytearray(sealed.data)
        data[position] ^= 1
        with pytest.raises(SecretUnreadable):
            RING.open(replace(sealed, data=bytes(data)), place=PLACE)


@pytest.mark.parametrize("length", [0, 1, NONCE_BYTES - 1, NONCE_BYTES, NONCE_BYTES + 15])
def test_what_was_cut_off_is_unreadable(length: int) -> None:
    sealed = RING.seal(b"", place=PLACE)
    with pytest.raises(SecretUnreadable):
        RING.open(replace(sealed, data=sealed.data[:length]), place=PLACE)


def test_the_same_value_is_sealed_otherwise_each_time_and_does_not_show() -> None:
    sealed = {RING.seal(b"token", place=PLACE).data for _ in range(100)}
    assert len({data[:NONCE_BYTES] for data in sealed}) == 100
    assert not any(b"token" in data for data in sealed)


def test_another_key_opens_nothing_even_under_the_id_of_the_right_one() -> None:
    sealed, other = RING.seal(b"tok", place=PLACE), Keyring([NEW])
    with pytest.raises(SecretUnreadable, match=f"the key {RING.current_id}, which is not among"):
        other.open(sealed, place=PLACE)
    with pytest.raises(SecretUnreadable, match="not what was sealed"):
        other.open(Sealed(key_id=other.current_id, data=sealed.data), place=PLACE)


def test_the_first_key_seals_and_all_of_them_open() -> None:
    before = RING.seal(b"tok", place=PLACE)
    turned = Keyring([NEW, OLD])
    after = turned.seal(b"tok", place=PLACE)
    assert (before.key_id, after.key_id) == (RING.current_id, Keyring([NEW]).current_id)
    assert turned.current_id == after.key_id != before.key_id
    assert turned.open(before, place=PLACE) == turned.open(after, place=PLACE) == b"tok"
    assert Keyring([NEW]).open(after, place=PLACE) == b"tok"


def test_what_is_derived_is_of_each_key_and_each_purpose() -> None:
    turned = Keyring([NEW, OLD])
    assert turned.derived("one") == [*Keyring([NEW]).derived("one"), *RING.derived("one")]
    made = [*turned.derived("one"), *turned.derived("two")]
    assert len(set(made)) == 4
    assert {len(one) for one in made} == {32}


def test_the_environment_gives_the_key_and_those_before_it() -> None:
    ring = keyring_from_env({"SECRET_KEY": NEW, "SECRET_KEY_FALLBACKS": f" {OLD} ,,"})
    assert ring is not None
    assert ring.derived("x") == Keyring([NEW, OLD]).derived("x")
    alone = keyring_from_env({"SECRET_KEY": NEW, "SECRET_KEY_FALLBACKS": ""})
    assert alone is not None
    assert alone.derived("x") == Keyring([NEW]).derived("x")


@pytest.mark.parametrize("env", [{}, {"SECRET_KEY": ""}, {"SECRET_KEY": "", "SECRET_KEY_FALLBACKS": " , "}])
def test_without_a_key_there_is_no_ring(env: dict[str, str]) -> None:
    assert keyring_from_env(env) is None


SHORT = "short-key-of-31-characters-here"

BAD: list[tuple[dict[str, str], str]] = [
    ({"SECRET_KEY": SHORT}, "SECRET_KEY must have at least 32 random characters"),
    (
        {"SECRET_KEY": NEW, "SECRET_KEY_FALLBACKS": f"{OLD},{SHORT}"},
        "SECRET_KEY_FALLBACKS must have at least 32 random characters",
    ),
    ({"SECRET_KEY_FALLBACKS": OLD}, "SECRET_KEY_FALLBACKS is set, and SECRET_KEY is not"),
    ({"SECRET_KEY": f"{NEW},x"}, "SECRET_KEY must have no commas, and no spaces around it"),
    ({"SECRET_KEY": f"{NEW}\n"}, "SECRET_KEY must have no commas, and no spaces around it"),
]


@pytest.mark.parametrize(("env", "says"), BAD)
def test_an_environment_that_cannot_be_used_is_told_without_its_keys(env: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        keyring_from_env(env)
    assert str(refused.value) == says
    assert len(SHORT) == 31


def test_no_key_and_no_value_is_in_a_repr_or_a_traceback() -> None:
    turned = Keyring([NEW, OLD])
    sealed = RING.seal(b"the-value", place=PLACE)
    with pytest.raises(SecretUnreadable) as odd:
        turned.open(sealed, place="elsewhere")
    told = repr(turned) + str(turned) + repr(sealed) + "".join(traceback.format_exception(odd.value))
    for hidden in (NEW, OLD, "the-value"):
        assert hidden not in told
