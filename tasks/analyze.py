"""Kind `image.analyze`: what is to be seen in a picture, each feature for itself, from a single decode."""

import logging
import time
from collections.abc import Sequence
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded

from storage import likenesses
from storage.likenesses import Likeness
from storage.model import Json
from tasks.errors import StepFailed, StepIncomplete, StepRetryable, TasksError
from tasks.params import Feature, ImageAnalyze
from tasks.pictures import ImageRejected, Limits
from tasks.vision import models as networks
from tasks.vision.features import FeatureMissing, Look
from tasks.vision.model import ModelFailed, ModelUnavailable
from tasks.work import Work

log = logging.getLogger(__name__)

TELL_SECONDS = 1.0  # between two reports of progress: most analyses are over before the first
TIMED_OUT = {"code": "timed_out", "message": "the step had no time left for it"}
CODES: dict[type[TasksError], str] = {
    FeatureMissing: "feature_not_installed",
    ModelUnavailable: "model_unavailable",
    ModelFailed: "model_failed",
}


def run(work: Work, params: ImageAnalyze) -> Json:
    """Answer every feature and return a tasks.analysis.Analysis.

    What earlier attempts have answered is not asked again. Raises StepFailed for a file that is no picture to us,
    StepIncomplete if some features failed, StepRetryable if all did.
    """
    limits = Limits()
    models = networks.current(work.process.settings.models_dir)
    told: dict[str, Any] = dict(work.kept or {"models": {}})
    asked = [feature for feature in params.features if feature not in told]
    source = work.fetch(max_bytes=limits.max_bytes)
    try:
        look = Look(source.path, asked, models, limits)
    except ImageRejected as exc:
        raise StepFailed(exc.code, str(exc)) from exc
    errors = _ask(work, look, asked, told)
    result = {
        "picture": {"width": look.picture.width, "height": look.picture.height},
        **{feature.value: told[feature] for feature in params.features if feature in told},
        "models": told["models"],
        "partial": bool(errors),
        "errors": errors,
    }
    _remember(work, result)
    if not errors:
        return result
    failed, why = next(iter(errors.items()))
    if len(errors) == len(params.features):
        raise StepRetryable(why["code"], f"{failed}: {why['message']}")
    raise StepIncomplete(why["code"], f"{failed}: {why['message']}", result=result)


def _ask(work: Work, look: Look, asked: Sequence[Feature], told: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Put each answer, and what gave it, into `told`; returns why features have none."""
    errors: dict[str, dict[str, str]] = {}
    spoke = time.monotonic()
    for number, feature in enumerate(asked, 1):
        try:
            told[feature.value], used = look.answer(feature)
            told["models"][feature.value] = used.model_dump()
        except SoftTimeLimitExceeded:
            left = asked[number - 1 :]
            log.warning("analysis.timed_out step=%s features=%s", work.claim.step_id, left)
            return errors | {one.value: TIMED_OUT for one in left}
        except MemoryError:
            raise
        except Exception as exc:  # noqa: BLE001 - the edge of a feature: whatever it raises, the others go on
            errors[feature.value] = _error(work, feature, exc)
        if number < len(asked) and time.monotonic() - spoke > TELL_SECONDS:
            work.progress(number / len(asked))
            spoke = time.monotonic()
    return errors


def _error(work: Work, feature: Feature, exc: Exception) -> dict[str, str]:
    if isinstance(exc, TasksError) and (code := CODES.get(type(exc))):
        log.warning("analysis.feature_failed step=%s feature=%s reason=%s", work.claim.step_id, feature.value, exc)
        told = "the server of its model did not answer" if code == "model_unavailable" else str(exc)
        return {"code": code, "message": told}
    log.error("analysis.feature_crashed step=%s feature=%s", work.claim.step_id, feature.value, exc_info=exc)
    return {"code": "feature_failed", "message": "failed unexpectedly; the worker's log has the details"}


def _remember(work: Work, result: dict[str, Any]) -> None:
    """Have the picture found again by GET /v1/similar."""
    claim, embedding, phash = work.claim, result.get(Feature.EMBEDDING), result.get(Feature.PHASH)
    if embedding is None and phash is None and claim.attempt == 1:
        return  # a later run of the step may have to forget what an earlier one has said
    model = result["models"].get(Feature.EMBEDDING.value, {"name": "", "version": ""})
    likeness = Likeness(
        job_id=claim.job_id,
        step_id=claim.step_id,
        embedding=embedding,
        phash=None if phash is None else int(phash, 16),
        model=f"{model['name']}/{model['version']}",
    )
    work.on_success(lambda tx: likenesses.write(tx, likeness))
