"""`python -m tests.bench.vision`: an analysis beside the bare networks, one core each; memory and start-up.

The bare loop runs the sessions on tensors that are ready; ours begins with the file's bytes. Figures are medians, and
what counts is their ratio, since both run in turns in the same process.
"""

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import numpy as np
import onnxruntime
import psutil
from PIL import Image

from tasks.images.model import Limits
from tasks.params import Feature
from tasks.settings import MODELS_DIR
from tasks.vision.features import Look
from tasks.vision.manifest import Manifest
from tasks.vision.model import Tensor
from tasks.vision.models import Models

PHOTOS = Path(__file__).parents[2] / "deploy" / "photos"
TOGETHER = (Feature.LABELS, Feature.FACES, Feature.OBJECTS)
ROUNDS = 40
SECONDS = 8.0
MIB = 1024 * 1024


def main() -> None:
    """Print three tables."""
    began, before = time.perf_counter(), psutil.Process().memory_info().rss
    models = Models(MODELS_DIR)
    models.load()
    grown = (psutil.Process().memory_info().rss - before) / MIB
    print(f"All networks read, checked and loaded in {time.perf_counter() - began:.2f} s: {grown:.0f} MiB\n")
    _beside_the_bare(models)
    _by_feature(models)
    _by_processes(models)


def _beside_the_bare(models: Models) -> None:
    names = [feature.value for feature in TOGETHER]
    print(f"{', '.join(names)} together, milliseconds (bar: 1.25)")
    print(f"{'picture':<28}{'bare':>8}{'ours':>8}{'ratio':>8}{'of it decoding':>16}")
    for label, data in _pictures():
        look = Look(BytesIO(data), TOGETHER, models, Limits())
        manifests = [models.serving(feature.value) for feature in TOGETHER]
        ready = [(_session(found), look.picture.tensor(found.input)) for found in manifests if found]
        bare: list[float] = []
        ours: list[float] = []
        decoding: list[float] = []
        for _ in range(ROUNDS):
            bare.append(_milliseconds(partial(_run, ready)))
            ours.append(_milliseconds(partial(_analyse, data, TOGETHER, models)))
            decoding.append(_milliseconds(partial(Look, BytesIO(data), TOGETHER, models, Limits())))
        one, other, read = (statistics.median(times) for times in (bare, ours, decoding))
        print(f"{label:<28}{one:>8.1f}{other:>8.1f}{other / one:>8.2f}{read:>16.1f}")


def _by_feature(models: Models) -> None:
    print(f"\nEach feature alone, rocket.jpg, decoding included, milliseconds\n{'feature':<28}{'ours':>8}")
    data = (PHOTOS / "rocket.jpg").read_bytes()
    for feature in Feature:
        times = [_milliseconds(partial(_analyse, data, [feature], models)) for _ in range(8)]
        print(f"{feature.value:<28}{statistics.median(times):>8.1f}")


def _by_processes(models: Models) -> None:
    print(f"\nForked processes, {', '.join(feature.value for feature in TOGETHER)}, rocket.jpg, {SECONDS:.0f} s each")
    print(f"{'processes':<12}{'images/s':>10}{'peak RSS MiB':>14}{'of its own MiB':>16}")
    for count in (1, 2):
        done, memory = _forked(models, count)
        rss, own = (max(part) / MIB for part in zip(*memory, strict=True))
        print(f"{count:<12}{done / SECONDS:>10.1f}{rss:>14.0f}{own:>16.0f}")


def _forked(models: Models, count: int) -> tuple[int, Sequence[tuple[int, int]]]:
    context = multiprocessing.get_context("fork")
    done = [context.Value("i", 0) for _ in range(count)]
    children = [context.Process(target=_child, args=(models, number)) for number in done]
    for child in children:
        child.start()
    memory = [(0, 0)] * count
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        for place, child in enumerate(children):
            found = psutil.Process(child.pid).memory_full_info()
            memory[place] = (max(memory[place][0], found.rss), max(memory[place][1], found.uss))
        time.sleep(0.25)
    counted = sum(number.value for number in done)
    for child in children:
        child.kill()
        child.join()
    return counted, memory


def _child(models: Models, done: "Synchronized[int]") -> None:
    data = (PHOTOS / "rocket.jpg").read_bytes()
    while os.getppid() != 1:
        _analyse(data, TOGETHER, models)
        done.value += 1


def _analyse(data: bytes, features: Sequence[Feature], models: Models) -> None:
    look = Look(BytesIO(data), features, models, Limits())
    for feature in features:
        look.answer(feature)


def _session(manifest: Manifest) -> Callable[[Tensor], object]:
    """A bare session, with nothing of ours but the number of threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(manifest.file), options, providers=["CPUExecutionProvider"])
    return lambda tensor: session.run(None, {manifest.input.name: tensor[np.newaxis]})


def _run(ready: Sequence[tuple[Callable[[Tensor], object], Tensor]]) -> None:
    for session, tensor in ready:
        session(tensor)


def _pictures() -> list[tuple[str, bytes]]:
    made = [(name, (PHOTOS / name).read_bytes()) for name in ("rocket.jpg", "coffee.png")]
    with Image.open(PHOTOS / "coffee.png") as photo:
        for width, height in ((1280, 960), (4000, 3000)):
            data = BytesIO()
            photo.convert("RGB").resize((width, height), Image.Resampling.LANCZOS).save(data, "JPEG", quality=90)
            made.append((f"JPEG {width} x {height}", data.getvalue()))
    return made


def _milliseconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    main()
