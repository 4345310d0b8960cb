"""Kind image.resize as the worker runs it."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from storage.image_model import new_upload_id
from storage.model import Job, JobState, Step, StepState
from storage.objects.blocking import Blocking
from storage.objects.memory import MemoryObjects
from tasks.images.model import Limits
from tests.tasks.looking import Bench
from tests.tasks.samples import encoded, painted

SMALL = {"name": "small", "width": 30, "format": "webp"}
LARGE = {"name": "large", "width": 60, "format": "png"}


def made(bench: Bench, file: bytes, *variants: dict[str, Any], **params: Any) -> tuple[Job, Step]:
    document = {"steps": {"sizes": {"kind": "image.resize", "variants": list(variants), **params}}}
    job = bench.work_off(bench.put_in(file, document))
    return job, job.steps[0]


@pytest.fixture
def store(bench: Bench) -> Iterator[MemoryObjects]:
    objects = MemoryObjects()
    blocking = Blocking(objects)
    bench.process = replace(bench.process, objects=blocking)
    yield objects
    blocking.close()


def made_of(store: MemoryObjects) -> set[str]:
    """The keys of all objects but inputs."""

    async def keys() -> set[str]:
        return {stored.key async for stored in store.list("") if not stored.key.endswith("/input")}

    return asyncio.run(keys())


def events(bench: Bench, job: Job) -> list[Any]:
    with bench.process.database.read(bench.tenant) as tx:
        return list(
            tx.sql(
                "SELECT data FROM events WHERE tenant_id = %(tenant)s AND job_id = %(job)s AND type = 'step.progress' "
                "ORDER BY seq",
                job=job.id,
            ).scalars()
        )


def test_every_variant_is_there_as_it_was_asked_for(bench: Bench) -> None:
    job, step = made(bench, encoded(painted(80, 40), "JPEG"), SMALL, LARGE)
    assert step.state is StepState.SUCCEEDED, step.error
    small, large = step.result["outputs"]
    assert (small["name"], small["width"], small["height"], small["content_type"]) == ("small", 30, 15, "image/webp")
    assert (large["name"], large["width"], large["height"], large["content_type"]) == ("large", 60, 30, "image/png")
    assert small["engine"].startswith("vips ")
    assert [told["output"] for told in events(bench, job)] == ["large", "small"]


def test_the_engine_is_chosen_by_step(bench: Bench) -> None:
    _, step = made(bench, encoded(painted(), "PNG"), SMALL, engine="pillow")
    assert step.result["outputs"][0]["engine"].startswith("pillow ")


def test_the_engine_is_chosen_by_setting(bench: Bench) -> None:
    settings = bench.process.settings
    bench.process = replace(bench.process, settings=replace(settings, images=replace(settings.images, engine="pillow")))
    file = encoded(painted(), "PNG")
    assert made(bench, file, SMALL)[1].result["outputs"][0]["engine"].startswith("pillow ")
    assert made(bench, file, SMALL, engine="vips")[1].result["outputs"][0]["engine"].startswith("vips ")


def test_the_same_again_costs_no_second_object(bench: Bench, store: MemoryObjects) -> None:
    file = encoded(painted(80, 40), "JPEG")
    _, first = made(bench, file, SMALL)
    before = made_of(store)
    job, again = made(bench, file, {**SMALL, "name": "other"}, LARGE)
    assert job.state is JobState.SUCCEEDED
    added = made_of(store) - before
    assert len(added) == 1
    one, other = first.result["outputs"][0], again.result["outputs"][0]
    assert {**one, "name": "other"} == other
    assert [told["output"] for told in events(bench, job)] == ["large"]


def test_two_variants_alike_are_one_object(bench: Bench, store: MemoryObjects) -> None:
    _, step = made(bench, encoded(painted(), "PNG"), SMALL, {**SMALL, "name": "twin"})
    one, twin = step.result["outputs"]
    assert one["rendition"] == twin["rendition"]
    assert len(made_of(store)) == 1


def test_without_renditions_each_attempt_has_outputs_of_its_own(bench: Bench, store: MemoryObjects) -> None:
    bench.process = replace(bench.process, settings=replace(bench.process.settings, rendition_days=0))
    file = encoded(painted(), "PNG")
    steps = [made(bench, file, SMALL)[1] for _ in range(2)]
    assert all("rendition" not in step.result["outputs"][0] for step in steps)
    assert len(made_of(store)) == 2


def test_what_is_no_picture_ends_the_step_with_a_code(bench: Bench) -> None:
    _, step = made(bench, b"words, and no picture", SMALL)
    assert (step.state, step.error and step.error.code) == (StepState.FAILED, "image_unreadable")


def test_a_watermark_that_is_gone_is_named(bench: Bench) -> None:
    """A retry may name another one, and an upload may go before its job begins."""
    gone = new_upload_id()
    job = bench.put_in(
        encoded(painted(10, 10), "PNG"), {"steps": {"sizes": {"kind": "image.resize", "variants": [SMALL]}}}
    )
    marked = {"variants": [{**SMALL, "watermark": {"upload": gone}}]}
    with bench.process.database.begin(bench.tenant) as tx:
        changed = "UPDATE steps SET params = %(params)s::jsonb WHERE tenant_id = %(tenant)s AND job_id = %(job)s"
        tx.sql(changed, params=json.dumps(marked), job=job.id)
    error = bench.work_off(job).steps[0].error
    assert error is not None
    assert (error.code, gone in error.message) == ("file_missing", True)


def test_the_operators_limits_hold(bench: Bench) -> None:
    settings = bench.process.settings
    images = replace(settings.images, limits=Limits(max_pixels=99))
    bench.process = replace(bench.process, settings=replace(settings, images=images))
    _, step = made(bench, encoded(painted(10, 10), "PNG"), SMALL)
    assert (step.state, step.error and step.error.code) == (StepState.FAILED, "image_too_large")


def test_a_cut_file_is_refused_unless_what_there_is_will_do(bench: Bench) -> None:
    file = encoded(painted(200, 200), "JPEG", quality=95)
    cut = file[: len(file) * 2 // 3]
    assert (refused := made(bench, cut, SMALL)[1].error) is not None
    assert refused.code == "image_truncated"
    _, step = made(bench, cut, SMALL, allow_truncated=True)
    assert step.state is StepState.SUCCEEDED, step.error


def test_a_page_is_chosen(bench: Bench) -> None:
    pages = BytesIO()
    sheets = [Image.new("RGB", (20, 10 * page), "red") for page in (1, 2)]
    sheets[0].save(pages, "TIFF", save_all=True, append_images=sheets[1:])
    _, step = made(bench, pages.getvalue(), {"name": "p", "format": "png"}, page=2)
    assert [(one["width"], one["height"]) for one in step.result["outputs"]] == [(20, 20)]
    _, step = made(bench, pages.getvalue(), {"name": "p", "format": "png"}, page=3)
    assert step.error is not None
    assert step.error.code == "page_missing"
