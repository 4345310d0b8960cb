"""Kind `http.call`: posts JSON to a third party, with the step's id as its idempotency key."""

import httpx2

from storage.model import Json, Used
from tasks import outbound
from tasks.errors import StepFailed, StepRetryable
from tasks.params import HttpCall
from tasks.work import Work

RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


def run(work: Work, params: HttpCall) -> Json:
    """Post and return {status, body}. Without a `body` it posts {job, step, results: {name: result}} of the steps used.

    Raises StepFailed for a host that is not allowed and for answers that will not change, StepRetryable for others.
    """
    url = str(params.url)
    if not outbound.is_allowed(url, work.process.settings.outbound_allow):
        raise StepFailed(
            "host_not_allowed",
            f"calls to {params.url.host} are not allowed here; the operator lists hosts in OUTBOUND_ALLOW",
        )
    body = params.body
    if body is None:
        results = {used.name: _linked(work, used) for used in work.used}
        body = {"job": work.claim.job_id, "step": work.claim.step_id, "results": results}
    work.checkpoint()
    headers = {"Idempotency-Key": work.claim.step_id, "User-Agent": "Millrace"}
    try:
        answer = outbound.post_json(work.process.tls, url, body, headers, timeout=params.timeout_seconds)
    except (httpx2.HTTPError, TimeoutError) as exc:
        raise StepRetryable("call_failed", f"{params.url.host} did not answer: {type(exc).__name__}") from exc
    if answer.status in RETRIED_STATUSES:
        message = f"{params.url.host} answered {answer.status}"
        raise StepRetryable("call_unsuccessful", message, after_seconds=answer.retry_after_seconds)
    if not 200 <= answer.status < 300:
        raise StepFailed("call_refused", f"{params.url.host} answered {answer.status}")
    return {"status": answer.status, "body": answer.body}


def _linked(work: Work, used: Used) -> Json:
    """The step's result, with the address of each output, as the job's document has it."""
    if not isinstance(used.result, dict) or not isinstance(used.result.get("outputs"), list):
        return used.result
    at = f"{work.process.settings.public_url}/v1/jobs/{work.claim.job_id}/outputs/{used.name}"
    return {**used.result, "outputs": [{**made, "href": f"{at}/{made['name']}"} for made in used.result["outputs"]]}
