"""A kind's function that shares what it makes, as image.resize does, but makes no pictures."""

from storage.model import Json
from tasks.image_params import EngineName, ImageResize
from tasks.renditions import digest
from tasks.work import Work


def identity(asked: EngineName) -> str:
    return f"stamp of {asked}"


def stamp(work: Work, params: ImageResize) -> Json:
    """Every variant is the source's bytes and its width; those that are there already are not made."""
    source = work.fetch()
    digests = {
        variant.name: digest(
            work.source_sha256(source),
            variant,
            page=params.page,
            allow_truncated=params.allow_truncated,
            focus=(),
            watermark_sha256=None,
            engine_identity=identity(params.engine),
        )
        for variant in params.variants
    }
    known = work.renditions(list(digests.values()))
    outputs = []
    for variant in params.variants:
        key = digests[variant.name]
        if key in known:
            outputs.append(work.reuse(known[key], variant.name))
            continue
        assert variant.width is not None
        saved = work.save_rendition(
            key,
            variant.name,
            source.path.read_bytes() + str(variant.width).encode(),
            content_type="image/webp",
            width=variant.width,
            height=30,
            frames=1,
            engine="stamp",
        )
        outputs.append(saved)
        work.progress(len(outputs) / len(params.variants))
    return {"outputs": outputs}
