"""Callers that are interrupted in the midst of a batch, as by a soft time limit: the others go on."""

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import numpy as np
import pytest

from tasks.vision.grouped import Answers, Grouped
from tasks.vision.manifest import Group, Run
from tasks.vision.onnx import OnnxModel
from tests.small_network import manifest, patient_group, pictures, small_network
from tests.tasks.vision.callers import Threads, all_right, is_right, one_after_another, waiting
from tests.tasks.vision.conftest import OpenGroup
from tests.vision_server import ModelServer
from tests.waiting import until


class Interrupted(Exception):
    """What a soft time limit raises into a thread."""


@contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """Gives what raises Interrupted into the main thread, which runs the tests, as Celery raises a soft time limit."""
    main = threading.main_thread().ident
    assert main == threading.get_ident()

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        yield lambda: signal.pthread_kill(main, signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_leader_that_is_interrupted_while_it_waits_is_followed_by_another(
    server: ModelServer, open_group: OpenGroup, threads: Threads
) -> None:
    group = open_group(patient_group(3))
    given = [[picture] for picture in pictures(3)]
    with interruptible() as interrupt:

        def one_joins_and_the_leader_goes() -> list["Future[Answers]"]:
            calls = one_after_another(threads, group, given[:1], there=1)
            waiting(group, 2)
            interrupt()
            return calls

        joined = threads.submit(one_joins_and_the_leader_goes)
        with pytest.raises(Interrupted):
            group.run(pictures(1, seed=9))
    calls = joined.result(timeout=20) + one_after_another(threads, group, given[1:], there=1)
    assert all_right(given, calls)
    assert server.sizes == [3]


def test_a_leader_that_is_interrupted_while_its_batch_runs_leaves_the_others_to_themselves(
    server: ModelServer, open_group: OpenGroup, threads: Threads
) -> None:
    group = open_group(patient_group(3))
    given = [[picture] for picture in pictures(2)]
    server.hold = threading.Event()
    with interruptible() as interrupt:

        def the_batch_runs_and_the_leader_goes() -> list["Future[Answers]"]:
            calls = one_after_another(threads, group, given, there=1)
            until(lambda: server.sizes == [3])
            interrupt()
            return calls

        joined = threads.submit(the_batch_runs_and_the_leader_goes)
        with pytest.raises(Interrupted):
            group.run(pictures(1, seed=9))
    until(lambda: server.sizes == [3, 1, 1])
    server.hold.set()
    assert all_right(given, joined.result(timeout=20))


def test_a_follower_that_is_interrupted_takes_its_pictures_away(
    server: ModelServer, open_group: OpenGroup, threads: Threads
) -> None:
    group = open_group(patient_group(3))
    given = [[picture] for picture in pictures(3)]
    first = threads.submit(group.run, given[0])
    waiting(group, 1)
    with interruptible() as interrupt:

        def it_joins_and_goes() -> None:
            waiting(group, 2)
            interrupt()

        gone = threads.submit(it_joins_and_goes)
        with pytest.raises(Interrupted):
            group.run(pictures(1, seed=9))
        gone.result(timeout=20)
    assert all_right(given, [first, *one_after_another(threads, group, given[1:], there=1)])
    assert server.sizes == [3]


def test_interruptions_at_any_moment_leave_nobody_waiting(tmp_path: Path, threads: Threads) -> None:
    (tmp_path / "small.onnx").write_bytes(small_network())
    group = Grouped(OnnxModel(manifest(Run(), tmp_path / "small.onnx")), Group(milliseconds=1, most=4))
    over = threading.Event()
    armed = False

    def calling(seed: int) -> int:
        calls = 0
        while not over.is_set():
            calls += 1
            given = pictures(1 + calls % 2, seed=seed * 10_000 + calls)
            assert is_right(given, group.run(given))
        return calls

    def interrupting() -> None:
        moments = np.random.default_rng(5)
        while not over.wait(moments.uniform(0, 0.004)):
            signal.pthread_kill(main, signal.SIGUSR1)

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        nonlocal armed
        if armed:
            armed = False
            raise Interrupted

    main = threading.get_ident()
    before = signal.signal(signal.SIGUSR1, interrupt)
    interrupted = 0
    try:
        others = [threads.submit(calling, seed) for seed in range(6)]
        hands = threads.submit(interrupting)
        for turn in range(1000):
            given = pictures(1, seed=turn)
            try:
                armed = True
                answers = group.run(given)
                armed = False
                assert is_right(given, answers)
            except Interrupted:
                interrupted += 1
    finally:
        over.set()
        hands.result(timeout=20)
        signal.signal(signal.SIGUSR1, before)
    assert all(call.result(timeout=20) > 20 for call in others)
    assert interrupted > 50
    assert group._forming is None
