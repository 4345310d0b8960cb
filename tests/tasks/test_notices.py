"""The job's `notify`: what is refused of it before anything is written."""

import pytest

from tasks.errors import Flaw
from tasks.notices import notify_of


@pytest.mark.parametrize(
    "host", ["\u9f98" * 20, "a" * 254, ".".join(["\u9f98" * 60] * 30)], ids=["not ASCII", "too long", "both"]
)
def test_a_host_that_no_dns_can_have_is_refused(host: str) -> None:
    flaws: list[Flaw] = []
    assert notify_of({"url": f"https://{host}/done"}, flaws) is None
    assert [flaw.pointer for flaw in flaws] == ["/notify/url"]


@pytest.mark.parametrize("place", ["example.com:8443", "[2001:db8::1]:80", "a." * 126 + "a"])
def test_others_are_taken(place: str) -> None:
    flaws: list[Flaw] = []
    taken = notify_of({"url": f"https://{place}/done"}, flaws)
    assert (taken and taken.host, flaws) == (place, [])
