"""Kind `image.resize`: several smaller pictures of one, from a single decode."""

from storage.model import Json
from tasks.errors import StepFailed
from tasks.images import pillow
from tasks.images.pictures import ImageRejected, Limits
from tasks.images.plan import Box, Fit, Format, VariantSpec
from tasks.params import ImageResize
from tasks.params import Variant as VariantParams
from tasks.work import Work


def run(work: Work, params: ImageResize) -> Json:
    """Make every variant and return {outputs: [{name, width, height, bytes, content_type}]}, in the order asked for.

    Each is saved, and reported, as soon as it is ready. Raises StepFailed for a file that is no picture to us.
    """
    limits = Limits()
    source = work.fetch(max_bytes=limits.max_bytes)
    specs = [_spec(variant, _focus(work, variant)) for variant in params.variants]
    made: dict[str, dict[str, Json]] = {}
    try:
        for variant in pillow.render(source.path, specs, limits):
            made[variant.name] = work.save(
                variant.name,
                variant.data,
                content_type=variant.content_type,
                width=variant.width,
                height=variant.height,
            )
            work.progress(len(made) / len(specs), {"output": variant.name})
    except ImageRejected as exc:
        raise StepFailed(exc.code, str(exc)) from exc
    return {"outputs": [made[spec.name] for spec in specs]}


def _focus(work: Work, variant: VariantParams) -> tuple[Box, ...]:
    """The boxes that an analysis of the same file has found of what the variant's gravity speaks of."""
    if (feature := ImageResize.GRAVITIES.get(variant.gravity)) is None:
        return ()
    of_this_file = [used.result for used in work.used if used.file_from == work.claim.file_from]
    told = [result[feature] for result in of_this_file if isinstance(result, dict) and feature in result]
    if not told:
        message = f"no step that this one uses could say where the {feature} are in its picture"
        raise StepFailed("focus_unknown", message)
    boxes = [found["box"] for found in told[0]]
    return tuple((box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]) for box in boxes)


def _spec(variant: VariantParams, focus: tuple[Box, ...]) -> VariantSpec:
    return VariantSpec(
        name=variant.name,
        width=variant.width,
        height=variant.height,
        fit=Fit(variant.fit),
        format=None if variant.format is None else Format(variant.format),
        quality=variant.quality,
        background=variant.background,
        enlarge=variant.enlarge,
        focus=focus,
    )
