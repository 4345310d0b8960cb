"""Manifests: what they say of a network, and how a wrong one is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.settings import MODELS_DIR
from tasks.vision import manifest
from tasks.vision.manifest import ModelRefused
from tasks.vision.models import Models
from tasks.vision.onnx import OnnxModel

Change = Callable[[str, str], Path]
LITE = MODELS_DIR / "efficientnet-lite0.toml"


@pytest.fixture
def change(tmp_path: Path) -> Change:
    """A folder with one network, in whose manifest a text stands in place of another."""

    def made(old: str, new: str) -> Path:
        text = LITE.read_text()
        assert old in text
        (tmp_path / LITE.name).write_text(text.replace(old, new))
        for name in ("efficientnet-lite0.onnx", "imagenet-1k.json"):
            shutil.copy(MODELS_DIR / name, tmp_path)
        return tmp_path

    return made


@pytest.mark.parametrize("path", sorted(MODELS_DIR.glob("*.toml")), ids=lambda path: path.stem)
def test_every_network_that_is_shipped_is_what_its_manifest_says(path: Path) -> None:
    found = manifest.read(path)
    assert found.installed, "the extra with this network is not installed: pip install -r deploy/requirements.txt"
    found.verify()
    assert OnnxModel(found).manifest is found


def test_every_file_of_the_folder_belongs_to_a_manifest() -> None:
    read = [manifest.read(path) for path in MODELS_DIR.glob("*.toml")]
    files = {found.file for found in read}
    assert set(MODELS_DIR.glob("*.onnx")) <= files
    rights = (MODELS_DIR / "README.md").read_text()
    for found in read:
        assert found.name in rights
        assert found.licence in rights


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("width = 224", "widht = 224", r"efficientnet-lite0.toml: input.width: Field required"),
        ("divisor = 128.0", 'divisor = "128"', r"input.divisor: Input should be a valid number"),
        ('sha256 = "b5c7', 'sha256 = "XXX7', r"sha256: String should match"),
        ('fit = "crop"', 'fit = "squeeze"', r"input.fit: Input should be 'crop', 'stretch' or 'pad'"),
        ('decoder = "classes"', 'decoder = "klasses"', r"features.labels.decoder"),
        ('names = "imagenet-1k.json"', 'names = "other.json"', r"features.labels.names: .*No such file"),
        ("[input]", "[input", r"efficientnet-lite0.toml: Expected ']'"),
        ('file = "efficientnet-lite0.onnx"', 'file = ""', r"needs its 'file' and 'sha256'"),
        ("[input]", '[run]\nurl = "http://models"\n\n[input]', r"run: Value error, 'url' belongs to a model"),
        (
            "[input]",
            "[run]\nbatches = false\ngroup = {milliseconds = 5}\n\n[input]",
            r"'group' is for networks that take",
        ),
    ],
)
def test_a_wrong_manifest_is_refused_with_the_field(change: Change, old: str, new: str, message: str) -> None:
    with pytest.raises(ModelRefused, match=message):
        Models(change(old, new))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('output = "prob"', 'output = "porb"', r"no output 'porb' for labels; it has prob, embedding"),
        ('name = "image"', 'name = "picture"', r"its input is image, and its manifest says picture"),
        (
            "[features.labels]",
            '[run]\nproviders = ["TPU"]\n\n[features.labels]',
            r"none of its providers is here \(TPU\)",
        ),
    ],
)
def test_a_manifest_that_does_not_fit_its_network_is_refused(change: Change, old: str, new: str, message: str) -> None:
    with pytest.raises(ModelRefused, match=message):
        Models(change(old, new)).load()


def test_a_file_that_was_changed_is_refused(change: Change) -> None:
    folder = change("version", "version")
    with (folder / "efficientnet-lite0.onnx").open("r+b") as file:
        file.seek(5000)
        file.write(b"\x00\x01\x02")
    with pytest.raises(ModelRefused, match=r"model efficientnet-lite0: .*onnx has the SHA-256 [0-9a-f]{64}, and its"):
        Models(folder)


def test_a_file_that_is_missing_is_refused(change: Change) -> None:
    folder = change("version", "version")
    (folder / "efficientnet-lite0.onnx").unlink()
    with pytest.raises(ModelRefused, match="cannot be read: No such file"):
        Models(folder)


def test_a_folder_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="there is no folder"):
        Models(tmp_path / "none")


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="there is no manifest"):
        Models(tmp_path)


@pytest.mark.parametrize("package", ["not_there", "no.such", "..", "a\\u0000b"])
def test_a_package_that_is_no_package_is_one_that_is_not_installed(change: Change, package: str) -> None:
    models = Models(change('file = "', f'package = "{package}"\nfile = "'))
    assert models.serving("labels") is None


def test_two_networks_for_one_feature_are_refused(change: Change) -> None:
    folder = change("version", "version")
    (folder / "z.toml").write_text(LITE.read_text().replace('name = "efficientnet-lite0"', 'name = "z"'))
    with pytest.raises(ModelRefused, match="efficientnet-lite0 and z both serve"):
        Models(folder)


def test_a_network_of_a_package_that_is_not_installed_is_no_error(change: Change) -> None:
    models = Models(change('file = "', 'package = "not_there"\nfile = "'))
    models.load()
    assert models.serving("labels") is None


def test_another_network_takes_a_features_place_by_its_manifest(change: Change) -> None:
    folder = change('names = "imagenet-1k.json"', f"names = {json.dumps([f'n{n}' for n in range(1000)])}")
    found = Models(folder).serving("labels")
    assert found is not None
    assert found.features["labels"].names[7] == "n7"
