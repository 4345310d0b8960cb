"""What every network does, wherever it runs."""

import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from tasks.vision.grouped import Grouped
from tasks.vision.manifest import Group, Run
from tasks.vision.model import Model, ModelFailed
from tasks.vision.onnx import OnnxModel
from tasks.vision.server import ServedModel
from tests.small_network import SIDE, manifest, pictures, small_network
from tests.vision_server import infer, model_server

GROUP = Group(milliseconds=5, most=4)
BOTH = pytest.mark.parametrize("batches", [True, False], ids=["in-batches", "one-by-one"])
Open = Callable[[bool], AbstractContextManager[Model]]


@contextmanager
def here(file: Path, run: Run) -> Iterator[Model]:
    model = OnnxModel(manifest(run, file))
    yield model
    model.close()


@contextmanager
def served(file: Path, run: Run, *, binary: bool) -> Iterator[Model]:
    with model_server(file) as server:
        server.binary = binary
        run = run.model_copy(update={"on": "server", "url": server.url})
        model = ServedModel(manifest(run), ssl.create_default_context())
        yield model
        model.close()


@contextmanager
def grouped(inner: AbstractContextManager[Model]) -> Iterator[Model]:
    with inner as model:
        group = Grouped(model, GROUP)
        yield group
        group.close()


MODELS: dict[str, Callable[[Path, Run], AbstractContextManager[Model]]] = {
    "onnxruntime": here,
    "server": lambda file, run: served(file, run, binary=True),
    "server of JSON": lambda file, run: served(file, run, binary=False),
    "grouped onnxruntime": lambda file, run: grouped(here(file, run)),
    "grouped server": lambda file, run: grouped(served(file, run, binary=True)),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The small network: y = 2x + sum(x), and the sum."""
    file = tmp_path / "small.onnx"
    file.write_bytes(small_network())
    return file


@pytest.fixture(params=MODELS)
def opened(request: pytest.FixtureRequest, file: Path) -> Open:
    """Opens the network, as one that takes several pictures at once or not."""
    return lambda batches: MODELS[request.param](file, Run(batches=batches))


@pytest.fixture
def model(opened: Open) -> Iterator[Model]:
    with opened(True) as model:
        yield model


@BOTH
def test_each_picture_gets_what_onnxruntime_alone_says_of_it_by_name_and_in_order(
    opened: Open, file: Path, batches: bool
) -> None:
    session = onnxruntime.InferenceSession(str(file))
    given = pictures(7)
    with opened(batches) as model:
        answers = model.run(given)
    assert len(answers) == len(given)
    for picture, answer in zip(given, answers, strict=True):
        alone = infer(session, "x", picture[np.newaxis])
        assert set(answer) == set(alone) == {"y", "total"}
        for name, output in alone.items():
            assert answer[name].shape == output.shape[1:], "the axis of the batch is taken away"
            assert answer[name].dtype == np.float32
            np.testing.assert_allclose(answer[name], output[0], atol=1e-5)


@BOTH
def test_one_picture_is_answered_as_well_as_many(opened: Open, batches: bool) -> None:
    (picture,) = pictures(1, seed=3)
    with opened(batches) as model:
        (answer,) = model.run([picture])
    np.testing.assert_allclose(answer["total"], [picture.sum()], atol=1e-5)


@BOTH
def test_no_pictures_have_no_answers(opened: Open, batches: bool) -> None:
    with opened(batches) as model:
        assert model.run([]) == []


@pytest.mark.parametrize("shape", [(3, SIDE, SIDE + 1), (SIDE, SIDE, 3), (1, 3, SIDE, SIDE), (0,), ()], ids=str)
def test_a_picture_of_a_wrong_shape_fails_and_the_next_call_works(model: Model, shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelFailed, match="model small: "):
        model.run([np.zeros(shape, np.float32)])
    assert len(model.run(pictures(2))) == 2


def test_numbers_of_another_width_fail_and_the_next_call_works(model: Model) -> None:
    with pytest.raises(ModelFailed, match="model small: "):
        model.run([np.zeros((3, SIDE, SIDE), np.float64)])
    assert len(model.run(pictures(1))) == 1


def test_an_answer_belongs_to_who_asked_and_may_be_changed(model: Model) -> None:
    first, second = model.run(pictures(2))
    before = second["y"].copy()
    first["y"][:] = 0
    np.testing.assert_array_equal(second["y"], before)


def test_infinite_numbers_come_back_or_fail_and_never_pass_for_finite_ones(model: Model) -> None:
    picture = np.full((3, SIDE, SIDE), np.inf, np.float32)
    try:
        (answer,) = model.run([picture])
    except ModelFailed:
        return
    assert np.isinf(answer["total"]).all()


def test_it_says_which_network_it_is(model: Model) -> None:
    assert model.manifest.name == "small"
    assert model.manifest.input.name == "x"


def test_several_threads_get_their_own_answers_at_once(model: Model) -> None:
    def call(seed: int) -> None:
        for turn in range(10):
            given = pictures(1 + (seed + turn) % 3, seed=seed * 100 + turn)
            for picture, answer in zip(given, model.run(given), strict=True):
                np.testing.assert_allclose(answer["total"], [picture.sum()], atol=1e-5)

    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(call, seed) for seed in range(8)]:
            done.result(timeout=30)
