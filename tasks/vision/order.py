"""In which order one reads lines of text that stand somewhere on a page. Pure, on NumPy."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]  # [4, 2]: x, y of a line's corners, the text's own top left first, then clockwise
Boxes = NDArray[np.float64]  # [n, 4]: left, top, right, bottom

COLUMN_LINES = 3  # a column of print has at least so many lines,
COLUMN_LENGTH = 8  # of which the middle one is so many times as long as it is high: prices beside goods are no column


def reading_order(lines: Sequence[Points]) -> list[int]:
    """The positions of the lines in the order in which one reads them.

    Lines that are beside each other make a row; rows go down, a row goes to the right. Where a gutter parts two
    columns of print, each of three or more long lines, the left one is read to its end before the right one; a line
    across the gutter ends the columns above it. A page that is turned or askew is set straight first.
    """
    if not lines:
        return []
    boxes = _straight(lines)
    pending, order = [list(range(len(lines)))], list[int]()
    while pending:
        block = pending.pop()
        parts = _parted(boxes, block)
        if len(parts) > 1:
            pending.extend(reversed(parts))
        else:
            order.extend(place for row in _rows(boxes, block) for place in row)
    return order


def _straight(lines: Sequence[Points]) -> Boxes:
    """The boxes of the lines after the page is turned so that most lines run to the right."""
    corners = np.array(lines)
    along = corners[:, 1] - corners[:, 0]
    angles = np.degrees(np.arctan2(along[:, 1], along[:, 0]))
    quarters = np.round(angles / 90).astype(int) % 4
    most = Counter(quarters.tolist()).most_common(1)[0][0]
    askew = np.median(((angles - 90 * most + 45) % 90 - 45)[quarters == most])
    angle = np.radians(90 * most + askew)
    back = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = corners @ back
    return np.concatenate([turned.min(axis=1), turned.max(axis=1)], axis=1)


def _parted(boxes: Boxes, block: list[int]) -> list[list[int]]:
    """The block in parts that are read one after the other; one part if there are no columns in it."""
    gutter = _gutter(boxes[block])
    if gutter is None:
        return [block]
    across = [place for place in block if boxes[place, 0] < gutter < boxes[place, 2]]
    if not across:
        return [
            [place for place in block if boxes[place, 2] <= gutter],
            [place for place in block if boxes[place, 0] >= gutter],
        ]
    middles = boxes[:, [1, 3]].mean(axis=1)
    parts, rest = [], [place for place in block if place not in set(across)]
    for row in _rows(boxes, across):
        above = [place for place in rest if middles[place] < middles[row].mean()]
        rest = [place for place in rest if place not in set(above)]
        parts += [above, row]
    return [part for part in [*parts, rest] if part]


def _gutter(boxes: Boxes) -> float | None:
    """Where the fewest lines cross between two columns of print; the leftmost such place."""
    best: tuple[int, float] | None = None
    for edge in np.unique(boxes[:, 2]).tolist():
        before, after = boxes[:, 2] <= edge, boxes[:, 0] >= edge
        crossing = len(boxes) - int(before.sum()) - int(after.sum())
        if (best is None or crossing < best[0]) and _columns(boxes[before], boxes[after]):
            best = (crossing, (edge + float(boxes[after, 0].min())) / 2)
    return best[1] if best else None


def _columns(left: Boxes, right: Boxes) -> bool:
    """Whether both are columns of print, and beside each other."""
    for column in (left, right):
        if len(column) < COLUMN_LINES:
            return False
        if np.median((column[:, 2] - column[:, 0]) / (column[:, 3] - column[:, 1])) < COLUMN_LENGTH:
            return False
    common = min(left[:, 3].max(), right[:, 3].max()) - max(left[:, 1].min(), right[:, 1].min())
    lower = min(np.ptp(left[:, [1, 3]]), np.ptp(right[:, [1, 3]]))
    return bool(common >= lower / 2)


def _rows(boxes: Boxes, block: list[int]) -> list[list[int]]:
    """The rows from top to bottom, each from left to right: a line overlaps the one before it by half."""
    rows: list[list[int]] = []
    for place in sorted(block, key=lambda place: (boxes[place, [1, 3]].mean(), boxes[place, 0])):
        if rows and _beside(boxes[rows[-1][-1]], boxes[place]):
            rows[-1].append(place)
        else:
            rows.append([place])
    return [sorted(row, key=lambda place: float(boxes[place, 0])) for row in rows]


def _beside(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    common = min(one[3], other[3]) - max(one[1], other[1])
    return bool(common >= min(one[3] - one[1], other[3] - other[1]) / 2)
