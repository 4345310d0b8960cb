"""What an analysis is used for: crops, ends of jobs, and finding the picture again."""

from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from storage import likenesses
from storage.model import JobState, Step, StepState
from tests.tasks.looking import Bench, break_objects
from tests.tasks.samples import encoded


def test_what_was_seen_finds_the_picture_again(bench: Bench, chelsea: bytes, photos: Path) -> None:
    def look(file: bytes) -> Step:
        step = bench.look(file, "phash", "embedding")
        assert step.state is StepState.SUCCEEDED, step.error
        return step

    first, other = look(chelsea), look((photos / "coffee.png").read_bytes())
    with Image.open(BytesIO(chelsea)) as photo:
        again = look(encoded(photo.convert("RGB").resize((300, 200)), "JPEG", quality=70))
    with bench.process.database.read(bench.tenant) as tx:
        rows = tx.sql("SELECT step_id FROM likenesses WHERE tenant_id = %(tenant)s").scalars().all()
        [seen] = likenesses.of_job(tx, bench.jobs[first.id].id)
        same = likenesses.duplicates(tx, seen, limit=10, max_distance=6)
        nearest = likenesses.nearest(tx, seen, limit=10, least=0.0)
    assert set(rows) == {first.id, other.id, again.id}
    assert [match.job_id for match in same] == [bench.jobs[again.id].id]
    assert [match.job_id for match in nearest] == [bench.jobs[again.id].id, bench.jobs[other.id].id]


def test_the_boxes_of_another_picture_do_not_steer_a_crop(bench: Bench, photos: Path) -> None:
    crop = {"kind": "image.resize", "variants": [{"name": "c", "width": 300, "height": 512, "fit": "cover"}]}
    cut = {"name": "a", "width": 100, "height": 100, "fit": "cover", "gravity": "face", "format": "png"}
    document = {
        "steps": {
            "crop": crop,
            "other": {"kind": "image.analyze", "features": ["faces"], "use": ["crop"]},
            "look": {"kind": "image.analyze", "features": ["faces"]},
            "avatar": {"kind": "image.resize", "use": ["other", "look"], "variants": [cut]},
            "see": {"kind": "image.analyze", "features": ["faces"], "use": ["avatar"]},
        }
    }
    job = bench.work_off(bench.put_in(encoded(wide_astronaut(photos), "PNG"), document))
    assert job.state is JobState.SUCCEEDED, job.error
    assert [len(step.result["faces"]) for step in job.steps if step.name in ("other", "look", "see")] == [0, 1, 1]


def test_a_crop_around_what_nobody_could_look_for_fails(bench: Bench, folder: Path, chelsea: bytes) -> None:
    break_objects(folder)
    cut = {"name": "a", "width": 9, "height": 9, "fit": "cover", "gravity": "objects"}
    document = {
        "steps": {
            "look": {"kind": "image.analyze", "features": ["objects", "colors"]},
            "cut": {"kind": "image.resize", "use": ["look"], "variants": [cut]},
        }
    }
    job = bench.put_in(chelsea, document)
    found = [bench.work_off(job) for _ in range(3)][-1]
    assert [step.state for step in found.steps] == [StepState.SUCCEEDED, StepState.FAILED]
    assert found.steps[1].error is not None
    assert found.steps[1].error.code == "focus_unknown"


def test_a_rejected_picture_ends_its_job(bench: Bench, chelsea: bytes) -> None:
    variants = [{"name": "v", "width": 50, "format": "png"}]
    document = {
        "steps": {
            "look": {"kind": "image.analyze", "features": ["objects"], "stop_when": 'objects[*].name contains "cat"'},
            "thumbs": {"kind": "image.resize", "use": ["look"], "variants": variants},
        }
    }
    found = bench.work_off(bench.put_in(chelsea, document))
    assert (found.state, found.withheld) == (JobState.FAILED, True)
    assert found.error is not None
    assert found.error.code == "objects_rejected"
    assert [step.state for step in found.steps] == [StepState.FAILED, StepState.CANCELED]


def test_a_crop_shows_the_face(bench: Bench, photos: Path) -> None:
    def avatar(name: str, gravity: str) -> dict[str, Any]:
        size = {"width": 100, "height": 100, "fit": "cover", "gravity": gravity, "format": "png"}
        return {"name": name, **size}

    wide = encoded(wide_astronaut(photos), "PNG")
    document = {
        "steps": {
            "look": {"kind": "image.analyze", "features": ["faces"]},
            "cut": {
                "kind": "image.resize",
                "use": ["look"],
                "variants": [avatar("face", "face"), avatar("mid", "center")],
            },
            "see": {"kind": "image.analyze", "features": ["faces"], "use": ["cut"]},
        }
    }
    job = bench.work_off(bench.put_in(wide, document))
    assert job.state is JobState.SUCCEEDED, job.error
    cut = job.steps[1]
    made = {output["name"]: output["bytes"] for output in cut.result["outputs"]}
    assert made["face"] > made["mid"] * 2, "the middle is a plain colour, the face is not"
    [face] = job.steps[2].result["faces"]
    assert 0.3 < face["box"]["x"] + face["box"]["width"] / 2 < 0.7


def wide_astronaut(photos: Path) -> Image.Image:
    with Image.open(photos / "astronaut.png") as photo:
        wide = Image.new("RGB", (2000, 512), (90, 90, 90))
        wide.paste(photo.convert("RGB"), (1488, 0))
    return wide
