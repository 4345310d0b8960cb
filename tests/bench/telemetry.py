"""`python -m tests.bench.telemetry`: what telling costs. Two platforms, one of which tells nothing, take turns.

Both stand the whole time, each on servers of its own, and their turns are short: a machine that is slower in one minute
than in the next is slower for both. The quartiles of the rounds' ratios say how much is left to chance.

One has its logs at INFO, lines kept with jobs, numbers of every process, and traces of 1 % of the jobs over OTLP; the
other errors only, no lines kept, no numbers but those of the API, no traces.
"""

import statistics
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import click

from tests.bench import servers, whole
from tests.bench.options import Options
from tests.bench.rounds import summary, table, take_turns
from tests.bench.turn import millrace
from tests.tracing.collector import collector

FIGURES = ("jobs/s", "cpu ms all")
QUIET = {"LOG_LEVEL": "ERROR", "JOB_LOGS": "off", "METRICS_PORT": "off"}


@click.command()
@click.option("--rounds", default=24, show_default=True)
@click.option("--requests", default=500, show_default=True)
@click.option("--control", is_flag=True, help="Neither tells anything: what chance makes of the same.")
def bench(rounds: int, requests: int, control: bool) -> None:
    """Print jobs per second and CPU per job of both, and the ratios."""
    options = Options(requests=requests, warm=100)
    with ExitStack() as opened:
        collected = opened.enter_context(collector())
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        telling = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collected.endpoint,
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": "0.01",
        }
        systems = {}
        for name, env in (("telling", QUIET if control else telling), ("quiet", QUIET)):
            (folder / name).mkdir()
            started = opened.enter_context(servers.started(folder / name, "redis"))
            turn = opened.enter_context(millrace(started, env))
            systems[name] = partial(whole.of_turn, turn, options)
        take_turns(systems, 2)  # until everything is warm
        seen = take_turns(systems, rounds)
    compared = {f"telling / quiet, {figure}": (figure, "telling", "quiet") for figure in FIGURES}
    print(table("what telling costs", summary(seen, compared)))
    for figure in FIGURES:
        low, _, high = statistics.quantiles(
            (told[figure] / quiet[figure] for told, quiet in zip(seen["telling"], seen["quiet"], strict=True)), n=4
        )
        print(f"  half of the rounds' ratios of {figure} lie between {low:.3f} and {high:.3f}")


if __name__ == "__main__":
    bench(prog_name="python -m tests.bench.telemetry")
