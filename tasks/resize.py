"""Kind `image.resize`: pictures of one, from a single decode; those that are there already are not made again."""

from collections.abc import Mapping, Sequence

from storage.errors import ObjectMissing
from storage.model import Json
from tasks.errors import StepFailed
from tasks.image_identity import identity
from tasks.image_params import ImageResize, Variant
from tasks.images import engines, headers
from tasks.images.model import Box, ImageRejected, Made, Task, Wanted
from tasks.renditions import digest
from tasks.work import Source, Work


def run(work: Work, params: ImageResize) -> Json:
    """Make every variant and return {outputs: [{name, width, height, frames, bytes, content_type, engine}]}, in the
    order asked for.

    Each is saved, and reported, as soon as it is ready. Raises StepFailed for a file that is no picture to us.
    """
    source = work.fetch(max_bytes=work.process.settings.images.limits.max_bytes)
    marks = {upload: _mark(work, upload) for upload in sorted(params.uploads)}
    wanted = [_wanted(work, variant, marks) for variant in params.variants]
    try:
        made = _all(work, params, source, marks, wanted)
    except ImageRejected as exc:
        raise StepFailed(exc.code, str(exc)) from exc
    return {"outputs": [made[variant.name] for variant in params.variants]}


def _mark(work: Work, upload: str) -> Source:
    try:
        return work.fetch_upload(upload)
    except ObjectMissing as exc:
        message = f"the watermark's upload {upload!r} is not there, or not any more"
        raise StepFailed("file_missing", message, reason="no watermark") from exc


def _wanted(work: Work, variant: Variant, marks: Mapping[str, Source]) -> Wanted:
    mark = None if variant.watermark is None else marks[variant.watermark.upload].path
    return Wanted(variant=variant, focus=_focus(work, variant), watermark=mark)


def _all(
    work: Work, params: ImageResize, source: Source, marks: Mapping[str, Source], wanted: Sequence[Wanted]
) -> dict[str, Json]:
    """The records of all outputs, by name: of renditions that are there already, and of those made now."""
    digests = _digests(work, params, source, marks, wanted)
    known = work.renditions(list(digests.values())) if digests else {}
    made: dict[str, Json] = {name: work.reuse(known[key], name) for name, key in digests.items() if key in known}
    missing = [one for one in wanted if one.variant.name not in made]
    if not missing:
        return made
    settings = work.process.settings.images
    task = Task(
        file=source.path,
        header=headers.read(source.path, settings.limits, page=params.page),
        wanted=missing,
        limits=settings.limits,
        page=params.page,
        allow_truncated=params.allow_truncated,
    )
    for one in engines.chosen(settings, params.engine).render(task):
        made[one.name] = _saved(work, one, digests.get(one.name))
        work.progress(len(made) / len(wanted), {"output": one.name})
    return made


def _digests(
    work: Work, params: ImageResize, source: Source, marks: Mapping[str, Source], wanted: Sequence[Wanted]
) -> dict[str, str]:
    """What each picture is known by, whoever asks for it: by the variant's name; none where nothing is shared."""
    settings = work.process.settings
    if not settings.rendition_days:
        return {}
    of_marks = {upload: work.source_sha256(mark) for upload, mark in marks.items()}
    content, engine = work.source_sha256(source), identity(settings.images.engine, params.engine)
    return {
        one.variant.name: digest(
            content,
            one.variant,
            page=params.page,
            allow_truncated=params.allow_truncated,
            focus=one.focus,
            watermark_sha256=None if one.variant.watermark is None else of_marks[one.variant.watermark.upload],
            engine_identity=engine,
        )
        for one in wanted
    }


def _saved(work: Work, made: Made, key: str | None) -> Json:
    content_type, width, height, frames = made.format.content_type, made.width, made.height, made.frames
    if key is None:
        facts = {"width": width, "height": height, "frames": frames, "engine": made.engine}
        return work.save(made.name, made.data, content_type=content_type, **facts)
    return work.save_rendition(
        key,
        made.name,
        made.data,
        content_type=content_type,
        width=width,
        height=height,
        frames=frames,
        engine=made.engine,
    )


def _focus(work: Work, variant: Variant) -> tuple[Box, ...]:
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
