"""Which engine makes the pictures of a step."""

from functools import lru_cache
from typing import assert_never

from tasks.image_params import EngineName
from tasks.image_settings import ImageSettings
from tasks.images import turbojpeg
from tasks.images.model import Engine
from tasks.images.pillow import Pillow
from tasks.images.planes import Planes
from tasks.images.vips import Vips


@lru_cache(maxsize=8)
def chosen(settings: ImageSettings, asked: EngineName = "auto") -> Engine:
    """The engine that a step asks for; for "auto" the operator's. Cheap: libraries are first used by `render`."""
    match settings.engine if asked == "auto" else asked:
        case "pillow":
            return Pillow()
        case "vips":
            vips = Vips(threads=settings.threads)
            return (
                Planes(vips, threads=settings.threads)
                if settings.planes and turbojpeg.available() is not None
                else vips
            )
        case _ as never:
            assert_never(never)
