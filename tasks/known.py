"""Steps that end as their job is written, since their pictures are there already: no worker is asked."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from storage import renditions, steps
from storage.database import Tx
from storage.image_model import Digest, Rendition
from storage.model import JobInput, NewJob, NewStep
from tasks.image_params import EngineName, ImageResize
from tasks.renditions import digest, record
from tasks.spec import JobSpec, StepSpec

WORKER = "renditions"  # what is written as the worker of these steps
LEASE_SECONDS = 30.0  # claim and end are one transaction

Identity = Callable[[EngineName], str]  # what an engine that is asked for makes pictures as: tasks.image_identity


class _Known(NamedTuple):
    """A step and the digests of its variants, by their names."""

    step: NewStep
    digests: Mapping[str, Digest]


def end_known(tx: Tx, spec: JobSpec, job: NewJob, identity: Identity) -> bool:
    """End those steps of a job, which is being written in this transaction, whose pictures are all there.

    Returns whether there are any. They end as a worker would end them, with all that follows from it.
    """
    if job.input is None or job.input.sha256 is None:
        return False
    asked = list(_askable(spec, job, job.input, identity))
    found = renditions.find(tx, _all(asked), to_begin=True)
    known = [one for one in asked if found.keys() >= set(one.digests.values())]
    if not known:
        return False
    # All at once: rows are locked in the order of their digests. What is given up in this moment is missing here.
    ready = renditions.begin(tx, job.id, _all(known))
    ended = [_end(tx, job, one, ready) for one in known if ready.keys() >= set(one.digests.values())]
    return any(ended)


def _askable(spec: JobSpec, job: NewJob, file: JobInput, identity: Identity) -> Iterator[_Known]:
    """Steps that could start now, on the job's own file, and whose pictures depend on nothing else."""
    for step, new in zip(spec.steps, job.steps, strict=True):
        params = step.checked
        if isinstance(params, ImageResize) and _stands_alone(step):
            yield _Known(new, _digests(params, file, identity(params.engine)))


def _stands_alone(step: StepSpec) -> bool:
    asks_others = step.use or step.kind.focus(step.checked) or step.kind.uploads(step.checked)
    return step.kind.is_shared and step.file_from is None and step.stop_when is None and not asks_others


def _digests(params: ImageResize, file: JobInput, engine: str) -> dict[str, Digest]:
    assert file.sha256 is not None
    return {
        variant.name: digest(
            file.sha256,
            variant,
            page=params.page,
            allow_truncated=params.allow_truncated,
            focus=(),
            watermark_sha256=None,
            engine_identity=engine,
        )
        for variant in params.variants
    }


def _all(asked: Sequence[_Known]) -> set[Digest]:
    return {one for step in asked for one in step.digests.values()}


def _end(tx: Tx, job: NewJob, known: _Known, ready: Mapping[str, Rendition]) -> bool:
    claim = steps.claim(tx, job.id, known.step.id, worker=WORKER, slot=0, lease_seconds=LEASE_SECONDS)
    if claim is None:  # its queue is paused
        return False
    outputs = [record(ready[one], name) for name, one in known.digests.items()]
    steps.succeed(tx, claim, {"outputs": outputs})
    return True
