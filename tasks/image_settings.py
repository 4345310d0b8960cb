"""What the environment says about pictures: how large they may be, and what makes them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

from storage.objects import MAX_OBJECT_BYTES
from tasks.environment import one_of, whole
from tasks.errors import ConfigurationError
from tasks.images.model import Limits

MOST_PIXELS = 4_000_000_000  # a worker needs some bytes of memory for each
MOST_FRAMES = 1_000_000
MOST_THREADS = 256

EngineSetting = Literal["vips", "pillow"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageSettings:
    """`limits` of every file; `engine` that makes pictures where a step asks for none, with `threads` for one picture;
    `planes`: whether JPEGs may take the fast lane, where libjpeg-turbo is there.
    """

    limits: Limits = field(default_factory=Limits)
    engine: EngineSetting = "vips"
    threads: int = 1
    planes: bool = True


def from_env(env: Mapping[str, str]) -> ImageSettings:
    """Read IMAGE_ENGINE (vips, or pillow), IMAGE_THREADS (1), IMAGE_PLANES (on, or off) and the limits.

    Raises ConfigurationError.
    """
    plain = ImageSettings()
    return ImageSettings(
        limits=limits(env),
        engine=cast("EngineSetting", one_of(env, "IMAGE_ENGINE", ("vips", "pillow"))),
        threads=whole(env, "IMAGE_THREADS", plain.threads, MOST_THREADS),
        planes=one_of(env, "IMAGE_PLANES", ("on", "off")) == "on",
    )


def limits(env: Mapping[str, str]) -> Limits:
    """Read IMAGE_MAX_BYTES (512 MiB), IMAGE_MAX_PIXELS (100,000,000), IMAGE_MAX_TOTAL_PIXELS of an animation
    (250,000,000, or as many as a picture may have), IMAGE_MAX_FRAMES (1,000), IMAGE_MAX_OUTPUT_PIXELS (100,000,000).

    Raises ConfigurationError.
    """
    plain = Limits()
    pixels = whole(env, "IMAGE_MAX_PIXELS", plain.max_pixels, MOST_PIXELS)
    total = whole(env, "IMAGE_MAX_TOTAL_PIXELS", max(plain.max_total_pixels, pixels), MOST_PIXELS)
    if total < pixels:
        raise ConfigurationError(f"IMAGE_MAX_TOTAL_PIXELS must be at least IMAGE_MAX_PIXELS, {pixels}, not {total}")
    return Limits(
        max_bytes=whole(env, "IMAGE_MAX_BYTES", plain.max_bytes, MAX_OBJECT_BYTES),
        max_pixels=pixels,
        max_total_pixels=total,
        max_frames=whole(env, "IMAGE_MAX_FRAMES", plain.max_frames, MOST_FRAMES),
        max_output_pixels=whole(env, "IMAGE_MAX_OUTPUT_PIXELS", plain.max_output_pixels, MOST_PIXELS),
    )
