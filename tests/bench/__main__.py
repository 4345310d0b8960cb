"""`make bench`: Millrace under load, measured from outside, beside what people use today, in turns (docs/bench.md).

Says nothing about pass or fail.
"""

import importlib
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from tests.bench import servers
from tests.bench.options import Options
from tests.bench.rounds import table

DEFAULTS = Options()
PARTS = {
    "a": ("drain", "(a) drain of waiting echo jobs"),
    "b": ("submitting", "(b) submitting over HTTP, one API process"),
    "c": ("latency", "(c) latency when idle"),
    "d": ("steady", "(d) steady load, HTTP to done"),
    "e": ("mixed", "(e) pictures, calls and echoes at once"),
    "f": ("whole", "(f) HTTP to done, submitting and working at once"),
    "uploads": ("uploads", "memory of large uploads (9 GiB; only when named)"),
}
ALL = ("a", "b", "c", "d", "e", "f")


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--jobs", default=DEFAULTS.jobs, show_default=True, help="(a) jobs that wait.")
@click.option("--requests", default=DEFAULTS.requests, show_default=True, help="(b, e, f) requests of a turn.")
@click.option("--idle", default=DEFAULTS.idle, show_default=True, help="(c) jobs, one after the other.")
@click.option("--seconds", default=DEFAULTS.seconds, show_default=True, help="(d) of each steady load.")
@click.option("--rate", type=float, help="(d) jobs/s that 100 % is; without it a drain is measured first.")
@click.option("--rounds", default=DEFAULTS.rounds, show_default=True, help="Turns of each system.")
@click.option("--warm", default=DEFAULTS.warm, show_default=True, help="Jobs before the clock starts, each turn.")
@click.option("--rival", "rivals", multiple=True, help="Only these, or `none`; again for more.")
@click.option("--broker", type=click.Choice(["redis", "rabbitmq"]), default="redis", show_default=True)
@click.option("--json", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write all figures there.")
def bench(parts: tuple[str, ...], broker: str, file: Path | None, rivals: tuple[str, ...], **given: Any) -> None:
    """Measure PARTS (default: a to f)."""
    options = Options(rivals=rivals or None, **given)
    figures = {}
    with tempfile.TemporaryDirectory() as folder, servers.started(Path(folder), broker) as started:
        for part in parts or ALL:
            module, title = PARTS[part]
            began = time.monotonic()
            figures[part] = importlib.import_module(f"tests.bench.{module}").measure(started, options)
            title = f"{title}; broker {broker}, {options.rounds} rounds, {time.monotonic() - began:.0f} s"
            print(table(title, figures[part]), flush=True)
            if file is not None:
                file.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    bench(prog_name="python -m tests.bench")
