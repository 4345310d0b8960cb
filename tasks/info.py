"""Kind `image.info`: what a picture is, from its header and a few of its pixels, without a network."""

from storage import uploads
from storage.database import Tx
from storage.image_model import UploadId
from storage.keys import upload_key
from storage.model import Claim, Json
from tasks.errors import StepFailed
from tasks.image_facts import ImageFacts
from tasks.image_params import ImageInfo
from tasks.images import info
from tasks.images.model import ImageRejected
from tasks.work import Work


def run(work: Work, params: ImageInfo) -> Json:
    """Return a tasks.image_facts.ImageFacts; an upload that it is about remembers the first page's looks and size.

    Raises StepFailed for a file that is no picture to us.
    """
    limits = work.process.settings.images.limits
    source = work.fetch(max_bytes=limits.max_bytes)
    try:
        told = info.facts(source.path, limits, page=params.page, names=params.exif)
    except ImageRejected as exc:
        raise StepFailed(exc.code, str(exc)) from exc
    if params.page == 1:
        _describe(work, told)
    facts: Json = told.model_dump(mode="json")
    return facts


def _describe(work: Work, told: ImageFacts) -> None:
    if (upload := _upload(work.claim)) is None:
        return

    def write(tx: Tx) -> None:
        uploads.describe(tx, upload, blurhash=told.blurhash, width=told.width, height=told.height)

    work.on_success(write)


def _upload(claim: Claim) -> UploadId | None:
    """The upload that the step works on; None for an output of another step, or a file that came with its job."""
    begins = upload_key(claim.tenant_id, UploadId(""))
    if claim.file_from is not None or claim.input is None or not claim.input.key.startswith(begins):
        return None
    return UploadId(claim.input.key.removeprefix(begins))
