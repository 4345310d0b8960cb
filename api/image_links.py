"""What stands behind a signed address of a picture: who signed it, what it asks for, whether that is there by now."""

import hmac
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from api.errors import Refused, not_found
from api.passing import UNKNOWN
from api.service import Service
from storage import image_keys, jobs, renditions, unique, uploads
from storage.database import Tx
from storage.image_model import (
    Digest,
    ImageKey,
    ImageKeyId,
    Upload,
    UploadId,
    is_digest,
    is_image_key_id,
    is_upload_id,
)
from storage.keys import key_of_output
from storage.model import Job, JobId, Json, Step, StepState, TenantId, new_job_id
from tasks import image_path
from tasks.document import parse
from tasks.errors import InvalidDocument
from tasks.image_identity import identity
from tasks.image_path import NAME, Asked
from tasks.job_document import outputs_of
from tasks.names import Priority
from tasks.renditions import digest
from tasks.submit import submit

REMEMBERED = timedelta(minutes=10)  # for so long nobody tries again to make what could not be made
RESIZE = "image.resize"
INFO = "info"  # the step that looks at the upload, for the placeholders to come

_NOBODYS_KEY = secrets.token_urlsafe(32)  # compared with where there is no key, which takes as long


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A picture that a valid link asks for. `digest` is the rendition's; from `ends_at` on the link leads nowhere."""

    tenant_id: TenantId
    upload: Upload
    asked: Asked
    digest: Digest
    ends_at: datetime | None

    @property
    def unique_key(self) -> str:
        """What keeps a second job from making it at the same time."""
        return f"i:{self.digest}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A finished picture: where its object is, and what is told of it; `rendition` unless it is a job's alone."""

    key: str
    etag: str
    content_type: str
    bytes: int
    rendition: Digest | None = None


def opened(service: Service, signed: str, operations: str, upload: str) -> tuple[Wanted, Picture | None]:
    """What a link asks for, and the picture if it is there.

    Raises Refused: 403 for whatever is not signed by a key that holds, and only then 422, 410 and 404.
    """
    key = _signer(service, signed, operations, upload)
    try:
        asked = image_path.parse(operations)
    except InvalidDocument as exc:
        detail = "the link's operations have flaws; 'errors' names each of them"
        raise Refused(422, "invalid_operations", detail, flaws=exc.flaws) from exc
    expires_at = None if asked.expires_at is None else datetime.fromtimestamp(asked.expires_at, UTC)
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise Refused(410, "link_expired", "this link has expired")
    with service.database.read(key.tenant_id) as tx:
        source, watermark = _uploads(tx, upload, asked)
        wanted = Wanted(
            tenant_id=key.tenant_id,
            upload=source,
            asked=asked,
            digest=digest(
                source.sha256,
                asked.variant,
                page=asked.page,
                allow_truncated=False,
                focus=(),
                watermark_sha256=None if watermark is None else watermark.sha256,
                engine_identity=identity(service.settings.image_engine),
            ),
            ends_at=min(_ends(expires_at, key, source, watermark), default=None),
        )
        return wanted, _shared(tx, wanted.digest)


def standing(service: Service, wanted: Wanted) -> Picture | JobId | None:
    """The picture, or the job that is making it; None if nobody is. Raises Refused (422) if it cannot be made.

    It may be another one than the rendition that we expect: while the platform is being updated, workers and this
    process may have different versions of an engine, and where RENDITION_DAYS is 0 every job keeps its own.
    """
    with service.database.read(wanted.tenant_id) as tx:
        if found := _shared(tx, wanted.digest):
            return found
        holder = unique.last(tx, wanted.unique_key)
        job = None if holder is None else jobs.find(tx, holder)
        step = next((one for one in job.steps if (one.name, one.kind) == (NAME, RESIZE)), None) if job else None
        if job is None or step is None:
            return None
        _refuse_if_failed(step)
        if (listed := outputs_of(step.result)) and (made := _of_job(tx, wanted, job, step, listed[0])):
            return made
        return job.id if job.finished_at is None else None


def order(service: Service, wanted: Wanted) -> JobId:
    """Have the picture made; one job does it however many ask at once. Raises Refused (404) for what is gone."""
    spec = parse(_document(wanted))
    try:
        with service.database.begin(wanted.tenant_id) as tx:
            return submit(tx, spec, job_id=new_job_id(), file=None).job.id
    except InvalidDocument as exc:  # an upload was deleted in this moment
        raise not_found("upload") from exc


def missed(service: Service, wanted: Wanted, picture: Picture) -> None:
    """Note that the picture's object is gone, so that it is made again."""
    if picture.rendition is not None:
        with service.database.begin(wanted.tenant_id) as tx:
            renditions.miss(tx, picture.rendition)


def _shared(tx: Tx, digest: Digest) -> Picture | None:
    """The rendition with this digest, if it is finished."""
    found = renditions.find(tx, [digest]).get(digest)
    if found is None:
        return None
    kind, size = found.facts.content_type, found.facts.bytes
    return Picture(key=found.key, etag=digest, content_type=kind, bytes=size, rendition=digest)


def _of_job(tx: Tx, wanted: Wanted, job: Job, step: Step, output: Mapping[str, Any]) -> Picture | None:
    """The picture that a job has made, if it is still there."""
    if is_digest(shared := output.get("rendition")):
        return _shared(tx, Digest(str(shared)))
    return Picture(
        key=key_of_output(wanted.tenant_id, job.id, step.id, step.attempt, output),
        etag=wanted.digest,
        content_type=str(output.get("content_type", UNKNOWN)),
        bytes=int(output.get("bytes", 0)),
    )


def _signer(service: Service, signed: str, operations: str, upload: str) -> ImageKey:
    """The key that has signed the link. Raises Refused (403)."""
    keyring = service.keyring()
    key_id, _, told = signed.partition(".")
    found = None
    if is_image_key_id(key_id):
        with service.database.platform_read() as tx:
            found = image_keys.of_id(tx, ImageKeyId(key_id))
    key = _NOBODYS_KEY if found is None else image_keys.opened(keyring, found).decode()
    is_right = hmac.compare_digest(image_path.signature(key, operations, upload).encode(), told.encode())
    holds = found is not None and (found.retired_at is None or found.retired_at > datetime.now(UTC))
    if found is None or not is_right or not holds:
        raise Refused(403, "signature_invalid", "this link is not signed, or not by a key that holds")
    return found


def _uploads(tx: Tx, upload: str, asked: Asked) -> tuple[Upload, Upload | None]:
    """The upload, and the one for a watermark if there is to be one. Raises Refused (404) for what is not there."""
    mark = asked.variant.watermark and UploadId(asked.variant.watermark.upload)
    if not is_upload_id(upload):
        raise not_found("upload")
    source = UploadId(upload)
    found = uploads.find_all(tx, [source, *([mark] if mark else [])])
    if source not in found:
        raise not_found("upload")
    if mark and mark not in found:
        raise not_found("upload for a watermark")
    return found[source], found[mark] if mark else None


def _ends(expires_at: datetime | None, key: ImageKey, source: Upload, watermark: Upload | None) -> Iterator[datetime]:
    ends = [expires_at, key.retired_at, *(one.expires_at for one in (source, watermark) if one is not None)]
    return (end for end in ends if end is not None)


def _document(wanted: Wanted) -> Json:
    variant = wanted.asked.variant.model_dump(mode="json", exclude_defaults=True)
    lasting = replace(wanted.asked, expires_at=None)
    steps: Json = {NAME: {"kind": RESIZE, "variants": [variant], "page": wanted.asked.page}}
    if wanted.upload.blurhash is None:
        steps[INFO] = {"kind": "image.info"}
    return {
        "input": {"upload": wanted.upload.id},
        "steps": steps,
        "priority": Priority.HIGH.value,
        "unique_key": wanted.unique_key,
        "metadata": {"on_the_fly": {"upload": wanted.upload.id, "operations": image_path.written(lasting)}},
    }


def _refuse_if_failed(step: Step) -> None:
    """Raise Refused (422), with what the step said, if the picture could not be made a short while ago."""
    if step.state is not StepState.FAILED or step.error is None or step.finished_at is None:
        return
    if datetime.now(UTC) - step.finished_at < REMEMBERED:
        raise Refused(422, step.error.code, step.error.message)
