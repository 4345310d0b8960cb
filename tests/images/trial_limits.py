"""How large a picture may be here: small, so that tests are quick."""

from tasks.images.model import Limits

LIMITS = Limits(max_pixels=30_000_000, max_total_pixels=60_000_000)
