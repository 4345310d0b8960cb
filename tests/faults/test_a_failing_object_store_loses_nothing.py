"""An object store that refuses, is slow or tears its answers off delays pictures and spoils none."""

from io import BytesIO

import httpx2
import pytest
from PIL import Image

from tests.faults.load import PICTURE, Load, accept, load, nothing_is_lost, photo
from tests.faults.stack import Stack
from tests.waiting import until

# The broker has no part in it.
pytestmark = pytest.mark.parametrize("running_stack", ["redis"], indirect=True)

MODES = ["refuses", "slow", "truncates"]


@pytest.mark.parametrize("mode", MODES)
def test_pictures_sent_and_made_meanwhile_are_whole_in_the_end(stack: Stack, mode: str) -> None:
    met = stack.store.counts[mode]
    with load(stack, pause_seconds=0.1, document=lambda _: (PICTURE, photo())) as sent:
        until(lambda: len(sent.accepted) >= 3)
        stack.store.mode = mode
        until(lambda: stack.store.counts[mode] >= met + 12, seconds=30)
        stack.store.mode = "well"
        until(lambda: len(sent.accepted) >= 6)
    assert set(sent.statuses) <= {"202", "503"}, sent.statuses
    nothing_is_lost(stack, sent.accepted, within=45)


@pytest.mark.parametrize("mode", MODES)
def test_what_is_fetched_meanwhile_is_whole_or_seen_to_fail(stack: Stack, mode: str) -> None:
    job = accept(stack.http, PICTURE, Load(), photo())
    nothing_is_lost(stack, [job], within=30)
    path = f"/v1/jobs/{job}/outputs/thumbs/s"
    whole = stack.http.get(path).content
    stack.store.mode = mode
    try:
        answer = stack.http.get(path)
    except httpx2.TransportError:
        return  # torn off: the client sees it
    if answer.status_code == 503:
        assert int(answer.headers["Retry-After"]) > 0
        return
    assert answer.content == whole
    with Image.open(BytesIO(whole)) as image:
        assert image.width == 64
