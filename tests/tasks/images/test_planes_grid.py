import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.images.planes_grid import CLOSE, EXACT, Grid, between
from tasks.images.planes_resize import resized
from tasks.images.turbojpeg import Pixels

SLOPE = 0.25  # levels per sample: 8 bits hold a ramp of 1,000


def ramp(count: int) -> Pixels:
    """Rows [4, 1, count] whose levels tell where they are: dithered, so that their mean over places is exact."""
    exact = np.arange(count) * SLOPE
    noise = np.random.default_rng(5).random((64, 1, count))
    return np.floor(exact + noise).astype(np.uint8)


@settings(max_examples=60, deadline=None)
@given(
    start=st.integers(0, 200).map(lambda half: half / 2),
    width=st.floats(300, 600),
    count=st.integers(12, 290),
)
def test_samples_come_to_lie_where_they_should(start: float, width: float, count: int) -> None:
    source, target = Grid(start=0, pitch=1, count=1000), Grid(start=start, pitch=width / count, count=count)
    one = between(source, target)
    if one is None:
        return  # left to the other engine
    still = between(Grid(start=0, pitch=1, count=64), Grid(start=0, pitch=1, count=64))
    assert still is not None

    up, down = (resized(part, one, still) for part in (ramp(1000), 255 - ramp(1000)))

    assert up.shape == down.shape == (64, 1, count)
    found = (up.astype(float) + 255 - down) / 2  # without what rounding adds to either
    wanted = ((np.arange(count) + 0.5) * target.pitch + start - 0.5) * SLOPE
    inner = slice(count // 4, -count // 4)
    off = abs((found.mean((0, 1)) - wanted)[inner].mean()) / SLOPE  # samples of the source
    assert off <= CLOSE * target.pitch + 0.1


@settings(max_examples=60, deadline=None)
@given(half=st.integers(0, 400), count=st.integers(20, 300))
def test_half_samples_are_met_exactly(half: int, count: int) -> None:
    """Of chroma, the half of an odd cut, where every second sample goes."""
    one = between(Grid(start=0, pitch=2, count=2000), Grid(start=half, pitch=4, count=count))

    assert one is not None
    made = int(one.taken / one.shrink + 0.5)
    middle = one.first + one.taken / 2 + (one.skip + count / 2 - made / 2) * one.shrink
    assert abs(middle - (half / 2 + count)) <= EXACT


def test_same_samples_are_taken_as_they_are() -> None:
    one = between(Grid(start=0, pitch=1, count=100), Grid(start=7, pitch=1, count=50))

    assert one is not None
    part = np.arange(300, dtype=np.uint8).reshape(3, 1, 100)
    still = between(Grid(start=0, pitch=1, count=3), Grid(start=0, pitch=1, count=3))
    assert still is not None
    assert np.array_equal(resized(part, one, still), part[:, :, 7:57])


@pytest.mark.parametrize("shrink", [1.3, 3.9, 4.1, 9.0, 20.0, 130.0, 1000.0])
def test_even_pictures_stay_what_they_are(shrink: float) -> None:
    target = Grid(start=3, pitch=shrink, count=max(1, int(990 / shrink)))
    one = between(Grid(start=0, pitch=1, count=1000), target)
    assert one is not None

    for level in (255, 128, 1):
        found = resized(np.full((1000, 2, 1000), level, np.uint8), one, one)
        assert found.shape == (target.count, 2, target.count)
        assert np.abs(found.astype(int) - level).max() <= 1


@pytest.mark.parametrize(
    "target",
    [
        Grid(start=0, pitch=0.9, count=50),  # larger
        Grid(start=0.5, pitch=1, count=50),  # between the samples
    ],
    ids=["enlarged", "between"],
)
def test_what_libvips_would_not_do_well_is_none(target: Grid) -> None:
    assert between(Grid(start=0, pitch=1, count=400), target) is None
