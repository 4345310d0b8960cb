"""The vocabulary, and kinds that other packages bring."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.names import KINDS, Kind, Params, Priority, kinds

ROOT = Path(__file__).parents[2]


def test_priorities_keep_their_order_as_ranks() -> None:
    assert [priority.rank for priority in Priority] == sorted(priority.rank for priority in Priority)
    assert [Priority.of_rank(priority.rank) for priority in Priority] == list(Priority)


def test_limits_are_in_order() -> None:
    for kind in KINDS.values():
        assert 0 < kind.soft_time_limit < kind.time_limit
        assert kind.retry.max_attempts >= 1


def test_two_kinds_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two installed packages offer the kind 'echo'"):
        kinds([Kind(name="echo", summary="", params=Params, run="a:b")])


def test_the_kind_that_the_docs_show_works_from_a_package_of_its_own(tmp_path: Path) -> None:
    example = (ROOT / "docs" / "kinds.md").read_text().split("```python\n")[1].split("```")[0]
    (tmp_path / "shouting.py").write_text(example)
    info = tmp_path / "shouting-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shouting\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[millrace.kinds]\nshout = shouting:KIND\n")
    look = (
        "import json; from tasks.document import parse; from tasks.base import function_of;"
        "from tasks.names import KINDS;"
        "from tasks.app import app;"
        "spec = parse({'steps': {'a': {'kind': 'shout', 'text': 'hi'}}});"
        "kind = spec.steps[0].kind;"
        "said = function_of(kind)(None, kind.params(**spec.steps[0].params));"
        "print(json.dumps([sorted(KINDS), said, 'shout' in app.tasks]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", look],
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        check=True,
    )
    found, said, registered = json.loads(done.stdout)
    images = ["image.analyze", "image.info", "image.resize"]
    assert found == ["echo", "http.call", *images, "input.fetch", "platform.retention", "shout"]
    assert said == {"said": "HI"}
    assert registered
