"""`python -m deploy.prometheus`: prometheus.yml for the platform of `make up`; the rules as a manifest."""

from pathlib import Path

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def prometheus() -> None:
    """What Prometheus is given, made from deploy/prometheus; see docs/monitoring.md."""


@prometheus.command()
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="MILLRACE_HOME",
    default=".millrace",
    show_default=True,
    help="Of the running platform.",
)
def configure(home: Path) -> None:
    """Write HOME/prometheus.yml for the platform that runs there, and say how Prometheus is started with it."""
    from deploy.local.stack import find_running
    from deploy.prometheus.configuration import for_platform

    home = home.absolute()
    running = find_running(home)
    if running is None:
        raise click.ClickException(f"no platform runs in {home}: start it with make up")
    file = home / "prometheus.yml"
    file.write_text(for_platform(running.api, home / "key"), encoding="utf-8")
    data = f"--storage.tsdb.path={home / 'prometheus'}"
    click.echo(f"prometheus --config.file={file} {data} --web.listen-address=127.0.0.1:9090")


@prometheus.command()
def manifest() -> None:
    """Write deploy/k8s/monitoring/rules.yaml anew, after a change of the rules."""
    from deploy.prometheus import configuration

    configuration.MANIFEST.write_text(configuration.manifest(), encoding="utf-8")


if __name__ == "__main__":
    prometheus()
