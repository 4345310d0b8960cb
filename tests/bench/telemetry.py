"""`python -m tests.bench.telemetry`: what telling costs. Two platforms, one of which tells nothing, take turns.

One has its logs at INFO, lines kept with jobs, numbers of every process, and traces of 1 % of the jobs over OTLP; the
other errors only, no lines kept, no numbers but those of the API, no traces.
"""

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import click

from tests.bench import servers, whole
from tests.bench.options import Options
from tests.bench.rounds import Figures, summary, table, take_turns
from tests.bench.servers import Servers
from tests.bench.turn import millrace
from tests.tracing.collector import collector

QUIET = {"LOG_LEVEL": "ERROR", "JOB_LOGS": "off", "METRICS_PORT": "off"}


@click.command()
@click.option("--rounds", default=6, show_default=True)
@click.option("--requests", default=1000, show_default=True)
def bench(rounds: int, requests: int) -> None:
    """Print jobs per second and CPU per job of both, and the ratios."""
    options = Options(requests=requests)
    with (
        collector() as collected,
        tempfile.TemporaryDirectory() as folder,
        servers.started(Path(folder), "redis") as started,
    ):
        telling = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collected.endpoint,
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": "0.01",
        }
        systems = {
            name: partial(_turn, started, options, env) for name, env in (("telling", telling), ("quiet", QUIET))
        }
        seen = take_turns(systems, rounds)
    compared = {f"telling / quiet, {figure}": (figure, "telling", "quiet") for figure in ("jobs/s", "cpu ms all")}
    print(table("what telling costs", summary(seen, compared)))


def _turn(started: Servers, options: Options, env: Mapping[str, str]) -> Figures:
    with millrace(started, env) as turn:
        return whole.of_turn(turn, options)


if __name__ == "__main__":
    bench(prog_name="python -m tests.bench.telemetry")
