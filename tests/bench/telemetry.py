"""`python -m tests.bench.telemetry`: what telling costs. Two platforms, one of which tells nothing, take turns.

One has its logs at INFO, lines kept with jobs, numbers of every process, and traces of 1 % of the jobs over OTLP; the
other errors only, no lines kept, no numbers but those of the API, no traces.
"""

import os
import statistics
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import click

from deploy.local.settings import from_env
from deploy.local.stack import Running, running_platform
from tests import pools
from tests.bench import throughput
from tests.tracing.collector import collector

QUIET = {"LOG_LEVEL": "ERROR", "JOB_LOGS": "off", "METRICS_PORT": "off"}
NOT_OURS = ("flower", "s3", "all")  # neither is part of what a job of this bench goes through


@click.command()
@click.option("--rounds", default=6, show_default=True)
def bench(rounds: int) -> None:
    """Print jobs per second and CPU per job of both, and the ratio of the medians."""
    with ExitStack() as stack:
        collected = stack.enter_context(collector())
        telling = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collected.endpoint,
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": "0.01",
        }
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        platforms = {
            name: stack.enter_context(_platform(folder / name, env))
            for name, env in (("telling", telling), ("quiet", QUIET))
        }
        seen: dict[str, list[tuple[float, Mapping[str, float]]]] = {name: [] for name in platforms}
        for number in range(rounds + 1):
            for name, running in platforms.items():
                figures = throughput.measure(running)
                if number:  # the first warms up
                    seen[name].append((figures["jobs/s end to end"], _ours(figures)))
    for name, found in seen.items():
        print(f"{name}, jobs/s of each round: {', '.join(f'{rate:.1f}' for rate, _ in found)}")
    rates = {name: statistics.median(rate for rate, _ in found) for name, found in seen.items()}
    _print("jobs/s", rates)
    for part in seen["quiet"][0][1]:
        _print(
            f"CPU ms per job: {part}",
            {name: statistics.median(cpu[part] for _, cpu in found) for name, found in seen.items()},
        )


def _platform(folder: Path, env: Mapping[str, str]) -> AbstractContextManager[Running]:
    whole = {**os.environ, **env, "POOLS_DIR": str(pools.fixed(folder / "pools"))}
    return running_platform(folder / "home", settings=from_env(whole), say=lambda _: None)


def _print(what: str, by: Mapping[str, float]) -> None:
    told, quiet = by["telling"], by["quiet"]
    print(f"{what:<32} telling {told:8.2f}  quiet {quiet:8.2f}  ratio {told / quiet if quiet else 0:6.3f}")


def _ours(figures: Mapping[str, float]) -> Mapping[str, float]:
    """CPU ms per job by part, a worker by its pool; and their sum."""
    parts = {name.removeprefix("CPU ms per job: "): value for name, value in figures.items() if "CPU ms" in name}
    ours = {
        name.rsplit("-", 1)[0] if "worker" in name else name: value
        for name, value in parts.items()
        if name not in NOT_OURS
    }
    return {**ours, "all of these": sum(ours.values())}


if __name__ == "__main__":
    bench()
