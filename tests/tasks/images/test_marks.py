from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tasks.image_params import Watermark
from tasks.images.marks import Place, placed
from tasks.images.plan import COMPASS
from tests.contracts.engines import UPLOAD


def mark(**more: Any) -> Watermark:
    return Watermark(upload=UPLOAD, **more)


def test_a_mark_lies_at_its_margin_from_the_edges() -> None:
    assert placed(mark(), 1.0, (1000, 500), (400, 100)) == Place(size=(200, 50), corner=(784, 434), step=None)
    assert placed(mark(gravity="northwest"), 2.0, (1000, 500), (400, 100)).corner == (32, 32)
    assert placed(mark(gravity="south"), 1.0, (1000, 500), (400, 100)).corner == (400, 434)


def test_a_mark_fits_the_height_too() -> None:
    assert placed(mark(scale=1.0, margin=0), 1.0, (1000, 50), (100, 100)) == Place(
        size=(50, 50), corner=(950, 0), step=None
    )


def test_tiles_begin_before_the_picture_so_that_one_lies_where_the_mark_would() -> None:
    place = placed(mark(tile=True, gravity="center", margin=10), 1.0, (1000, 500), (400, 100))

    assert place.step == (210, 60)
    assert place.corner == (-20, -15)
    assert ((400 - place.corner[0]) % 210, (225 - place.corner[1]) % 60) == (0, 0)


side = st.integers(1, 400)


@given(
    gravity=st.sampled_from(sorted(COMPASS)),
    picture=st.tuples(side, side),
    sides=st.tuples(side, side),
    scale=st.floats(0.001, 1),
    margin=st.integers(0, 500),
    tile=st.booleans(),
)
def test_a_mark_lies_in_the_picture_and_tiles_cover_it(
    gravity: Any, picture: tuple[int, int], sides: tuple[int, int], scale: float, margin: int, tile: bool
) -> None:
    place = placed(mark(gravity=gravity, scale=scale, margin=margin, tile=tile), 1.0, picture, sides)

    for length, size, corner, step in zip(picture, place.size, place.corner, place.step or (0, 0), strict=True):
        assert 1 <= size <= length
        if tile:
            assert -step < corner <= 0
            assert step == size + margin
        else:
            assert 0 <= corner <= length - size
