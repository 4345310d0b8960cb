"""Callers that come to a group one after another, and what they should be told."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import ParamSpec, TypeVar

import numpy as np

from tasks.vision.grouped import Answers, Grouped
from tests.small_network import Picture, expected
from tests.waiting import until

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """A daemon thread for each call, so that one which hangs fails its test, and does not keep the run from ending."""

    def submit(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        future: Future[T] = Future()

        def work() -> None:
            try:
                future.set_result(call(*args, **kwargs))
            except BaseException as exc:  # noqa: BLE001 - whatever it is, the future tells it
                future.set_exception(exc)

        threading.Thread(target=work, daemon=True).start()
        return future


def waiting(group: Grouped, count: int) -> None:
    """Wait until so many pictures are in the batch that forms."""
    until(lambda: (0 if group._forming is None else group._forming.size()) == count)


def one_after_another(
    threads: Threads, group: Grouped, given: Sequence[Sequence[Picture]], *, there: int = 0
) -> list["Future[Answers]"]:
    """Have callers join a batch in which so many pictures are, each once the one before it has."""
    calls: list[Future[Answers]] = []
    for mine in given:
        waiting(group, there)
        calls.append(threads.submit(group.run, mine))
        there += len(mine)
    return calls


def is_right(given: Sequence[Picture], answers: Answers) -> bool:
    return len(given) == len(answers) and all(
        np.allclose(answer[name], right, atol=1e-5)
        for picture, answer in zip(given, answers, strict=True)
        for name, right in expected(picture).items()
    )


def all_right(given: Sequence[Sequence[Picture]], calls: Sequence["Future[Answers]"]) -> bool:
    return all(is_right(mine, call.result(timeout=20)) for mine, call in zip(given, calls, strict=True))
