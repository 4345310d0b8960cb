"""Does a job's work by hand, as a worker would."""

from storage import steps
from storage.model import Claim, Job, Json, PublicError
from tests.api.conftest import Api
from tests.documents import taken


def start(api: Api, job: Job, name: str = "say") -> Claim:
    return taken(api.database, api.acme.tenant, job, name)


def succeed(api: Api, claim: Claim, result: Json = None) -> None:
    with api.database.begin(claim.tenant_id) as tx:
        steps.succeed(tx, claim, result)


def report(api: Api, claim: Claim, progress: float) -> None:
    with api.database.begin(claim.tenant_id) as tx:
        steps.report(tx, claim, progress, {})


def fail(api: Api, claim: Claim) -> None:
    with api.database.begin(claim.tenant_id) as tx:
        steps.fail(tx, claim, PublicError(code="boom", message="it broke"))
