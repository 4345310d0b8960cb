"""What engines have in common about animations. Pure."""

from io import BytesIO

from tasks.images import headers
from tasks.images.model import Limits

SHORTEST, INSTEAD = 10, 100  # milliseconds
ANY = Limits(max_bytes=2**62, max_pixels=2**62, max_total_pixels=2**62, max_frames=2**31)


def frames(data: bytes) -> int:
    """How many there are in a file of ours: encoders make one of several that are alike."""
    return headers.read(BytesIO(data), ANY).frames


def shown(delay: int) -> int:
    """For how long, in milliseconds, browsers show a frame: those that say next to nothing longer than others."""
    return delay if delay > SHORTEST else INSTEAD
