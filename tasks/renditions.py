"""What a finished picture is known by: a digest over all that its bytes depend on. Pure."""

import hashlib
import json
from collections.abc import Sequence

from storage.image_model import Digest, Rendition
from storage.model import Json
from tasks.image_params import Variant

Box = tuple[float, float, float, float]


def digest(
    source_sha256: str,
    variant: Variant,
    *,
    page: int,
    allow_truncated: bool,
    focus: Sequence[Box],
    watermark_sha256: str | None,
    engine_identity: str,
) -> Digest:
    """SHA-256, in 64 hexadecimal digits, over what the picture is made of and how: the same bytes have the same.

    Hashed is JSON with sorted keys, without spaces, in ASCII. The variant's name is not part of it, and a watermark
    counts by its bytes, whichever upload they are. All other parameters are, those with default values too: what a
    default means may change. `source_sha256` and `watermark_sha256` are those of the files, `engine_identity` is
    tasks.image_identity's; `focus` are the boxes that an analysis has found, in their order.
    """
    parameters = variant.model_dump(mode="json", exclude={"name": True, "watermark": {"upload"}})
    said = {
        "source": source_sha256,
        "variant": parameters,
        "page": page,
        "allow_truncated": allow_truncated,
        "focus": [[float(edge) for edge in box] for box in focus],
        "watermark": watermark_sha256,
        "engine": engine_identity,
    }
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return Digest(hashlib.sha256(canonical.encode("ascii")).hexdigest())


def record(rendition: Rendition, name: str) -> dict[str, Json]:
    """{name, width, height, frames, bytes, content_type, engine, rendition}: what a step's outputs say of it."""
    facts = rendition.facts
    return {
        "name": name,
        "width": facts.width,
        "height": facts.height,
        "frames": facts.frames,
        "bytes": facts.bytes,
        "content_type": facts.content_type,
        "engine": facts.engine,
        "rendition": rendition.digest,
    }
