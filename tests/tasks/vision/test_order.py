import math

import numpy as np
import pytest

from tasks.vision.order import Points, reading_order

HIGH = 10.0


def line(x: float, y: float, length: float) -> Points:
    return np.array([[x, y], [x + length, y], [x + length, y + HIGH], [x, y + HIGH]])


def turned(lines: list[Points], degrees: float) -> list[Points]:
    """As seen on a page that was turned clockwise."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [points @ np.array([[cos, sin], [-sin, cos]]) for points in lines]


def two_columns(top: float = 0) -> list[Points]:
    """In reading order; the baselines of the right column are half a line lower."""
    left = [line(0, top + 15 * row, 190) for row in range(4)]
    right = [line(220, top + 15 * row + 7, 190 - 10 * row) for row in range(4)]
    return left + right


def shuffled(lines: list[Points]) -> list[int]:
    """Where each line went, when the order is found from a heap of them."""
    heap = np.random.default_rng(5).permutation(len(lines)).tolist()
    return [heap[place] for place in reading_order([lines[place] for place in heap])]


def test_no_line_has_no_order() -> None:
    assert reading_order([]) == []


def test_lines_go_down_and_rows_to_the_right() -> None:
    lines = [line(0, 0, 100), line(110, 3, 50), line(0, 15, 60), line(5, 30, 80)]

    assert shuffled(lines) == [0, 1, 2, 3]


def test_goods_and_prices_are_read_row_by_row() -> None:
    lines = [line(x, 15.0 * row, length) for row in range(6) for x, length in ((0, 120), (200, 40))]

    assert shuffled(lines) == list(range(12))


def test_columns_are_read_one_after_the_other() -> None:
    assert shuffled(two_columns()) == list(range(8))


def test_three_columns_are_read_one_after_the_other() -> None:
    lines = [line(200.0 * column, 15.0 * row, 180) for column in range(3) for row in range(3)]

    assert shuffled(lines) == list(range(9))


def test_a_line_across_the_gutter_parts_what_is_above_from_what_is_below() -> None:
    lines = [line(100, 0, 200), *two_columns(20), line(0, 95, 400), *two_columns(115)]

    assert shuffled(lines) == list(range(len(lines)))


@pytest.mark.parametrize("degrees", [3, -4, 87, 90, 180, 270])
def test_the_order_does_not_depend_on_how_the_page_lies(degrees: float) -> None:
    lines = [line(100, 0, 200), *two_columns(20)]

    assert shuffled(turned(lines, degrees)) == list(range(len(lines)))


def test_a_line_up_the_margin_does_not_turn_the_page() -> None:
    upwards = np.array([[-20.0, 100], [-20, 0], [-10, 0], [-10, 100]])

    order = reading_order([*two_columns(), upwards])

    assert [place for place in order if place != 8] == list(range(8))
