"""What a kind of small steps does in tests: as its parameters say."""

import threading
from typing import Any

from pydantic import BaseModel

from tasks.errors import StepFailed
from tasks.names import Kind
from tasks.work import Work

hurry = threading.Event()  # set: nobody takes longer


class Do(BaseModel):
    do: str = "well"
    seconds: float = 0.0


SMALL = Kind(name="small", summary="for tests", params=Do, run="tests.tasks.grouped_work:run", group=100)


def run(work: Work, params: Do) -> Any:
    hurry.wait(params.seconds)
    if params.do == "fail":
        raise StepFailed("no_luck", "it is so")
    if params.do == "crash":
        raise ZeroDivisionError
    return {"did": params.do, "attempt": work.claim.attempt}
