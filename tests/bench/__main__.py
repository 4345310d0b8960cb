"""`make bench`: the whole platform under load, measured from outside, with figures of the same run to compare with.

Prints a table and writes the figures to millrace-bench.json in the temporary folder. Says nothing about pass or fail.
"""

import json
import os
import sys
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path

import click

from deploy.local.settings import from_env
from deploy.local.stack import Running, running_platform
from tests import pools
from tests.bench import latency, throughput, uploads

PARTS = {"latency": latency.measure, "throughput": throughput.measure, "uploads": uploads.measure}


def _platform(folder: Path) -> AbstractContextManager[Running]:
    env = {**os.environ, "POOLS_DIR": str(pools.fixed(folder / "pools"))}
    return running_platform(folder / "home", settings=from_env(env), say=lambda _: None)


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
def bench(parts: tuple[str, ...]) -> None:
    """Measure PARTS (default: all) on a platform of its own, with one worker per pool."""
    figures = {}
    with tempfile.TemporaryDirectory() as folder, _platform(Path(folder)) as running:
        for part in parts or PARTS:
            figures[part] = PARTS[part](running)
            print(f"\n{part}")
            for name, value in figures[part].items():
                print(f"  {name:<52} {value:>12,.3f}" if isinstance(value, float) else f"  {name:<52} {value:>12,}")
            sys.stdout.flush()
    target = Path(tempfile.gettempdir()) / "millrace-bench.json"
    target.write_text(json.dumps(figures, indent=2))
    print(f"\n{target}")


if __name__ == "__main__":
    bench(prog_name="python -m tests.bench")
