"""The bench starts, takes its turns and writes its figures; how fast anything is, it is not asked here."""

import json
import subprocess
import sys
from pathlib import Path

SMALL = ("--requests", "4", "--warm", "2", "--rounds", "1")


def test_the_bench_measures_the_whole_way(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "tests.bench", "f", *SMALL, "--rival", "none", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(file.read_text())["f"]
    assert found["medians"]["millrace"]["jobs/s"] > 0
    assert found["ratios"] == {}
    assert "cpu ms workers" in done.stdout
