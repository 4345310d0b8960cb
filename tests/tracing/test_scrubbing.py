"""What does not leave the platform in an error's words."""

from typing import Any

import pytest

from storage.telemetry.scrubbing import LONGEST, scrubbed


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("key mk_Hma3nAc6FFC2J0aoiQHwCow refused", "Hma3nAc6"),
        ("cannot reach postgresql://millrace:hunter22@db/x", "hunter22"),
        ("GET https://host/a?signature=0a1b2c&exp=1 failed", "0a1b2c"),
        ("header 'Authorization: Bearer abc.def'", "abc.def"),
        ("{'password': 'hunter22', 'n': 1}", "hunter22"),
        ("api_key=hunter22, more", "hunter22"),
        ("client_secret: hunter22", "hunter22"),
        ("token 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b", "9f86d081"),
        ("eyJhbGciOi.eyJzdWIiOiI.c2lnbmF0dXJl", "c2lnbmF0dXJl"),
        ("no such user jane.doe@example.com", "jane.doe"),
        ("duplicate key value\nDETAIL:  Key (name)=(hunter22) already exists.\nmore", "hunter22"),
        ("(psycopg.Error) no\n[SQL: INSERT INTO x VALUES (%s)]\n[parameters: {'a': 'hunter22'}]\n", "hunter22"),
        ("1 validation error\n  Input should be [type=int, input_value='hunter22', input_type=str]", "hunter22"),
    ],
)
def test_secrets_and_rows_are_taken_out_and_the_rest_stays(text: str, secret: str) -> None:
    found = scrubbed(text)
    assert secret not in found
    assert found[:3] == text[:3] or text.startswith("eyJ")


def test_words_that_only_look_alike_stay() -> None:
    text = "the keyboard of job_01m8d0h5zmebmrxbsgra22506q broke: 3 tokens left, see tasks/resize.py line 12"
    assert scrubbed(text) == text


@pytest.mark.parametrize(
    "hidden",
    [{"url": "https://shop.example/cat"}, [{"a": {"b": ["https://shop.example/cat"]}}], "https://shop.example/cat"],
)
def test_what_a_tenant_has_sent_is_taken_out(hidden: Any) -> None:
    assert scrubbed("no picture at https://shop.example/cat: 404", [hidden]) == "no picture at [hidden]: 404"


def test_numbers_and_quoted_texts_of_tenants_are_taken_out_and_short_ones_are_not_looked_for() -> None:
    found = scrubbed("width 123456 of 'caf\\n\\x00 noir' is not 12", [{"w": 123456, "name": "caf\n\x00 noir", "n": 12}])
    assert found == "width [hidden] of '[hidden]' is not 12"


def test_a_message_has_an_end() -> None:
    assert len(scrubbed("no " * 10_000)) == LONGEST
