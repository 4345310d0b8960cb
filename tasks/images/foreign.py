"""The formats that libvips, as it comes in its wheel, cannot read: decoded by Pillow, libheif and PDFium. Pure."""

from PIL import Image

from tasks.images import pdf
from tasks.images.model import Task
from tasks.images.pictures import opened, refusing, truncated_files

READS = frozenset({"heic", "bmp", "pdf"})


def decode(task: Task, *, longest: int | None = None) -> Image.Image:
    """The pixels of the page that the task names, as its header describes them.

    `longest` pixels on the longer side are enough for a page of a PDF, which is then drawn no larger; others come in
    full. `info` has `icc_profile` and `exif`, where there are any; a HEIC has been turned by its library, whatever
    its EXIF block says. Raises ImageRejected.
    """
    if task.header.format == "pdf":
        with refusing(task.limits):
            return pdf.draw(task.file, task.limits, task.page, longest=longest)
    # Of a HEIC that is cut short nothing can be made, and its plugin would give a black picture for it.
    allowed = task.allow_truncated and task.header.format != "heic"
    with opened(task.file, task.limits) as (image, _), refusing(task.limits), truncated_files(allowed):
        image.load()
        return image
