"""Damaged pictures: nothing dies of them, and nothing is made of what cannot be read. `python -m tests.images.fuzz`
does the same with many more."""

import os
import random
from pathlib import Path

from tests.images.child import child
from tests.images.fuzzing import bases, fuzzed
from tests.images.mutations import mutated
from tests.tasks.images.bombs import bombs, polyglots
from tests.tasks.samples import one_of_each


def test_damaged_pictures_are_made_or_refused() -> None:
    found = fuzzed(bases([]), count=400, seed=8)

    assert found.faults == []
    made = {(format_, engine) for format_, engine, what in found.outcomes if what == "made"}
    assert len(made) >= 14  # of eight formats and two engines: damage that spoils all of them tests nothing
    assert found.starts == 1


def test_bombs_and_polyglots_cost_no_engine_its_life(tmp_path: Path) -> None:
    with child() as process:
        for number, (data, _) in enumerate([*bombs().values(), *polyglots().values()]):
            (tmp_path / "picture").write_bytes(data)
            told = process.ask(tmp_path / "picture", number)
            assert "death" not in told
            assert [one["crash"] for one in told["outcomes"]] == [None, None]
        assert process.starts == 1


def test_the_same_dice_do_the_same_damage() -> None:
    files = list(one_of_each().values())

    assert [mutated(files[0], files, random.Random(n)) for n in range(50)] == [
        mutated(files[0], files, random.Random(n)) for n in range(50)
    ]


def test_a_process_that_dies_is_noticed_and_replaced(tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(one_of_each()["png"])
    with child() as process:
        assert "death" not in process.ask(tmp_path / "good")
        process.kill()
        assert process.ask(tmp_path / "good")["death"] == "ended with SIGKILL"
        assert "death" not in process.ask(tmp_path / "good")
        assert process.starts == 2


def test_a_process_that_hangs_is_noticed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with child(seconds=1.0) as process:
        assert process.ask(tmp_path / "fifo")["death"] == "hung"


def test_an_error_that_is_none_of_ours_is_noticed(tmp_path: Path) -> None:
    with child() as process:
        outcomes = process.ask(tmp_path / "missing")["outcomes"]
    assert all("FileNotFoundError" in outcome["crash"] for outcome in outcomes)
