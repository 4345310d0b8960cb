"""Pictures on the fly: links signed by hand, and their jobs done by hand, as a worker would."""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import Any

import httpx2

from storage import jobs, renditions
from storage.image_model import Digest, Facts
from storage.keys import rendition_key
from storage.model import Job, JobId, PublicError, TenantId
from tasks.image_path import NAME
from tests.api.conftest import Api, Caller
from tests.api.storing import in_store, once
from tests.api.working import fail, succeed
from tests.documents import taken
from tests.trust import TRUST_NOBODY

PICTURE = b"RIFF" + bytes(range(256)) * 300  # nobody looks into it
KIND = "image/webp"


@dataclass(frozen=True, kw_only=True, slots=True)
class Signer:
    """An image key of a tenant's."""

    id: str
    key: str

    def link(self, operations: str, upload: str) -> str:
        """The path that docs/on-the-fly.md says."""
        digest = hmac.digest(self.key.encode(), f"/{operations}/{upload}".encode(), hashlib.sha256)
        return f"/i/{self.id}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}/{operations}/{upload}"


def signer(caller: Caller) -> Signer:
    made = caller.ask("POST", "/v1/image-keys").json()
    return Signer(id=made["id"], key=made["key"])


def upload(caller: Caller, content: bytes = b"a picture", **params: str) -> str:
    """The id of a new upload."""
    answer = caller.ask("POST", "/v1/uploads", content=content, params=params)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def shown(api: Api, path: str, method: str = "GET", **how: Any) -> httpx2.Response:
    """What anybody gets, without a key."""
    with httpx2.Client(base_url=api.url, timeout=30, verify=TRUST_NOBODY) as anybody:
        return anybody.request(method, path, **how)


def making(api: Api, answer: httpx2.Response, tenant: TenantId | None = None) -> Job:
    """The job that an answer says is making its picture."""
    assert answer.status_code == 202, answer.text
    link = answer.headers["link"]
    assert link.endswith('>; rel="monitor"')
    with api.database.read(tenant or api.acme.tenant) as tx:
        job = jobs.find(tx, JobId(link.partition(">")[0].rpartition("/")[2]))
    assert job is not None
    return job


def asked(api: Api, job: Job) -> tuple[str, Digest]:
    """The key that no second job may share, and the digest in it."""
    with api.database.read(api.acme.tenant) as tx:
        given = tx.sql("SELECT unique_key FROM jobs WHERE id = %(job)s", job=job.id).scalar_one()
    return str(given["mode"]), Digest(given["key"].removeprefix("i:"))


def make(api: Api, job: Job, content: bytes = PICTURE, digest: str | None = None) -> Digest:
    """Do the step that makes the picture, as the rendition of this digest (default: the one that is expected)."""
    wanted = Digest(digest or asked(api, job)[1])
    tenant = api.acme.tenant
    claim = taken(api.database, tenant, job, NAME)
    with api.database.begin(tenant) as tx:
        renditions.begin(tx, job.id, [wanted])
    put = lambda objects: objects.put(rendition_key(tenant, wanted), once(content), content_type=KIND)  # noqa: E731
    in_store(api, put)
    facts = Facts(width=3, height=2, frames=1, bytes=len(content), content_type=KIND, engine="by hand")
    with api.database.begin(tenant) as tx:
        assert renditions.finish(tx, wanted, facts)
    succeed(api, claim, {"outputs": [{"name": NAME, "rendition": wanted, "bytes": len(content), "content_type": KIND}]})
    return wanted


def do(api: Api, job: Job, name: str, error: PublicError | None = None) -> None:
    """End one of its steps."""
    claim = taken(api.database, api.acme.tenant, job, name)
    if error is None:
        succeed(api, claim)
    else:
        fail(api, claim, error)
