"""What every refusal has in common, and a way to wait for what happens behind an answer."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from api.schemas import Problem
from tests.api.conftest import Api

PATIENCE_SECONDS = 60.0


def assert_problem(
    status: int, headers: Mapping[str, str], document: Any, expected: tuple[int, str], pointers: Sequence[str] = ()
) -> Problem:
    """The answer is a problem document of this status, this code and these pointers, in any order."""
    problem = Problem.model_validate(document)
    assert (status, problem.code) == expected, document
    assert headers["content-type"] == "application/problem+json"
    assert problem.status == status
    assert problem.detail
    assert sorted(flaw.pointer for flaw in problem.errors) == sorted(pointers), document
    return problem


@contextlib.contextmanager
def leaving_nothing(api: Api) -> Iterator[None]:
    """What happens in the body leaves no row and no object, at once, and the server serves on."""
    before = api.left()
    yield
    assert api.left() == before
    assert api.acme.get("/livez").status_code == 200


def eventually(is_so: Callable[[], bool], what: str) -> None:
    """Wait until it is so; for what no signal tells."""
    pause = threading.Event()
    began = time.monotonic()
    while (waited := time.monotonic() - began) < PATIENCE_SECONDS:
        if is_so():
            return
        pause.wait(min(max(waited / 10, 0.01), 0.1))
    raise AssertionError(f"after {PATIENCE_SECONDS:g} s still not: {what}")
