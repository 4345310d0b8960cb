"""Kind `image.analyze`: what is to be seen in a picture, each feature for itself, from a single decode."""

import json
import logging
import time
from collections.abc import Sequence
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded

from storage import likenesses
from storage.errors import JobStopping, LeaseLost
from storage.likenesses import Likeness
from storage.model import Json
from tasks.errors import StepFailed, StepIncomplete, StepRetryable, TasksError
from tasks.images.model import ImageRejected
from tasks.params import Feature, ImageAnalyze
from tasks.vision import models as networks
from tasks.vision.features import FeatureMissing, Look
from tasks.vision.model import ModelFailed, ModelUnavailable
from tasks.work import Work

log = logging.getLogger(__name__)

SLOW = frozenset({Feature.TEXT})  # asked last: what is quick is told by then, whatever becomes of it
REMEMBERED = frozenset({Feature.EMBEDDING, Feature.PHASH})
MOST_BYTES = 786_432  # of one answer, as JSON: some 7,000 words of print
TELL_SECONDS = 1.0  # between two reports of progress: most analyses are over before the first
TIMED_OUT = {"code": "timed_out", "message": "the step had no time left for it"}


class AnswerTooLarge(TasksError):
    """A feature has more to say than a row should carry."""


CODES: dict[type[TasksError], str] = {
    AnswerTooLarge: "answer_too_large",
    FeatureMissing: "feature_not_installed",
    ModelUnavailable: "model_unavailable",
    ModelFailed: "model_failed",
}


def run(work: Work, params: ImageAnalyze) -> Json:
    """Answer every feature and return a tasks.analysis.Analysis.

    What earlier attempts have answered is not asked again. Raises StepFailed for a file that is no picture to us,
    StepIncomplete if some features failed, StepRetryable if all did.
    """
    limits = work.process.settings.images.limits
    models = networks.current(work.process.settings.models_dir)
    told: dict[str, Any] = dict(work.kept or {"models": {}})
    _remember(work, told)
    asked = sorted((one for one in params.features if one.value not in told), key=lambda one: one in SLOW)
    source = work.fetch(max_bytes=limits.max_bytes)
    try:
        look = Look(source.path, asked, models, limits)
    except ImageRejected as exc:
        raise StepFailed(exc.code, str(exc)) from exc
    told["picture"] = {"width": look.picture.width, "height": look.picture.height}
    errors = _ask(work, look, asked, told)
    result = _result(params, told, errors)
    if not errors:
        return result
    failed, why = ", ".join(errors), next(iter(errors.values()))
    if len(errors) == len(params.features):
        raise StepRetryable(why["code"], f"{failed}: {why['message']}")
    raise StepIncomplete(why["code"], f"{failed}: {why['message']}", result=result)


def _result(params: ImageAnalyze, told: dict[str, Any], errors: dict[str, dict[str, str]]) -> dict[str, Any]:
    answers = {feature.value: told[feature] for feature in params.features if feature in told}
    shown = {"picture": told["picture"], **answers, "models": told["models"]}
    return {**shown, "partial": len(answers) < len(params.features), "errors": errors}


def _ask(work: Work, look: Look, asked: Sequence[Feature], told: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Put each answer, and what gave it, into `told`; returns why features have none."""
    errors: dict[str, dict[str, str]] = {}
    spoke = time.monotonic()
    for number, feature in enumerate(asked):
        try:
            if number and time.monotonic() - spoke > TELL_SECONDS:
                work.progress(number / len(asked))
                spoke = time.monotonic()
            if number and work.claim.losses:  # something in this picture may kill the process again
                work.keep(told | {"partial": True, "errors": errors})
            answer, used = look.answer(feature)
            if len(json.dumps(answer)) > MOST_BYTES:
                raise AnswerTooLarge(f"its answer is larger than {MOST_BYTES} bytes")
            told[feature.value], told["models"][feature.value] = answer, used.model_dump()
            if feature in REMEMBERED:
                _remember(work, told)
        except (MemoryError, JobStopping, LeaseLost):
            raise
        except SoftTimeLimitExceeded:
            left = asked[number:]
            log.warning("analysis.timed_out step=%s features=%s", work.claim.step_id, left)
            return errors | {one.value: TIMED_OUT for one in left}
        except Exception as exc:  # noqa: BLE001 - the edge of a feature: whatever it raises, the others go on
            errors[feature.value] = _error(work, feature, exc)
    return errors


def _error(work: Work, feature: Feature, exc: Exception) -> dict[str, str]:
    if isinstance(exc, TasksError) and (code := CODES.get(type(exc))):
        log.warning("analysis.feature_failed step=%s feature=%s reason=%s", work.claim.step_id, feature.value, exc)
        told = "the server of its model did not answer" if code == "model_unavailable" else str(exc)
        return {"code": code, "message": told}
    log.error("analysis.feature_crashed step=%s feature=%s", work.claim.step_id, feature.value, exc_info=exc)
    return {"code": "feature_failed", "message": "failed unexpectedly; the worker's log has the details"}


def _remember(work: Work, told: dict[str, Any]) -> None:
    """Have the picture found again by GET /v1/similar, if the step succeeds; what is remembered last counts."""
    claim, embedding, phash = work.claim, told.get(Feature.EMBEDDING), told.get(Feature.PHASH)
    if embedding is None and phash is None and claim.attempt == 1:
        return  # a later run of the step may have to forget what an earlier one has said
    if embedding is not None and len(embedding) != likenesses.DIMENSIONS:
        log.warning("analysis.embedding_not_comparable step=%s numbers=%s", claim.step_id, len(embedding))
        embedding = None
    model = told["models"].get(Feature.EMBEDDING.value, {"name": "", "version": ""})
    likeness = Likeness(
        job_id=claim.job_id,
        step_id=claim.step_id,
        embedding=embedding,
        phash=None if phash is None else int(phash, 16),
        model=f"{model['name']}/{model['version']}",
    )
    work.on_success(lambda tx: likenesses.write(tx, likeness))
