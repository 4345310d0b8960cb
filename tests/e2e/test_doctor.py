"""The doctor finds the one-machine platform by its home, and everything of it well."""

import json
import os
import subprocess
import sys
from pathlib import Path

from deploy.doctor.findings import Level
from deploy.local.stack import Running

ROOT = Path(__file__).parent.parent.parent


def test_a_platform_of_make_up_is_well(platform: Running, home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.doctor", "--home", str(home), "--json"],
        env={"PATH": os.environ["PATH"]},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    told = json.loads(done.stdout)
    assert done.returncode == Level(told["state"]).rank
    found = {
        (one["about"], one["level"]) for one in told["findings"] if one["about"] != "work"
    }  # other tests have failed
    parts = ("configuration", "database", "schema", "broker", "objects", "clocks", "processes")
    assert found == {(about, "ok") for about in parts}, done.stdout
    assert not any(secret in done.stdout for name, secret in platform.env.items() if "SECRET" in name)
