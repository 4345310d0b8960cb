"""Pages of PDF files, drawn by PDFium, which the extra `pdf` installs. Pure."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from PIL import Image

from tasks.images import refusals
from tasks.images.model import Header, Limits

try:
    import pypdfium2
except ImportError as exc:
    _absent: ImportError | None = exc
else:
    _absent = None

POINTS_PER_INCH = 72
DOTS_PER_INCH = 200  # A4 is 1,654 by 2,339 pixels then
MOST_PIXELS = 40_000_000  # of a page: larger ones, such as posters, are drawn with fewer dots
LARGEST_SIDE = 30_000
LOCKED = 4  # FPDF_ERR_PASSWORD


def installed() -> bool:
    return _absent is None


def read(file: Path | BinaryIO, limits: Limits, page: int) -> Header:
    """Count the pages, and say at which size the one that is asked for is drawn. Raises ImageRejected."""
    with _opened(file) as document:
        pages = len(document)
        if page > pages:
            raise refusals.page_missing(page, pages)
        width, height = _sides(document.get_page_size(page - 1), limits)
    return Header(format="pdf", width=width, height=height, pages=pages)


def draw(file: Path | BinaryIO, limits: Limits, page: int, *, longest: int | None = None) -> Image.Image:
    """Draw a page in RGB on white, as large as `read` says, or with so many pixels on its longer side.

    Forms are drawn without what was filled in; scripts never run. Raises ImageRejected.
    """
    with _opened(file) as document:
        if page > len(document):
            raise refusals.page_missing(page, len(document))
        drawn = document[page - 1]
        points = drawn.get_size()
        sides = _sides(points, limits)
        scale = max(sides) / max(points)
        if longest is not None:
            scale *= min(1.0, longest / max(sides))
        bitmap = drawn.render(scale=scale, may_draw_forms=False, rev_byteorder=True)
        return cast("Image.Image", bitmap.to_pil()).convert("RGB")


@contextmanager
def _opened(file: Path | BinaryIO) -> "Iterator[pypdfium2.PdfDocument]":
    if _absent is not None:
        raise refusals.unsupported("PDF") from _absent
    if not isinstance(file, Path):
        file.seek(0)
    try:
        document = pypdfium2.PdfDocument(file if isinstance(file, Path) else file.read())
        try:
            yield document
        finally:
            document.close()
    except pypdfium2.PdfiumError as exc:
        if exc.err_code == LOCKED:
            raise refusals.unreadable("The PDF is locked with a password.", "Send it without one.") from exc
        raise refusals.unreadable("The PDF is damaged and cannot be read.") from exc


def _sides(points: tuple[float, float], limits: Limits) -> tuple[int, int]:
    """Pixels of a page that has these points."""
    width, height = points
    if not (math.isfinite(width) and math.isfinite(height) and width > 0 and height > 0):
        raise refusals.unreadable("The page of the PDF has no size.")
    scale = DOTS_PER_INCH / POINTS_PER_INCH
    scale = min(scale, math.sqrt(min(MOST_PIXELS, limits.max_pixels) / (width * height)))
    scale = min(scale, LARGEST_SIDE / max(width, height))
    return max(1, math.floor(width * scale)), max(1, math.floor(height * scale))
