"""`python -m deploy.doctor`: says what is wrong with a platform, and how to mend it."""

import os
import sys
import time
from pathlib import Path

import click

WRONG_USE = 2
WHOLE_SECONDS = 14.0  # from the start of the process to its end: to import takes long on a machine that is busy


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="The platform that `make up` keeps running there; default: this environment, or one that runs here.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def doctor(home: Path | None, as_json: bool) -> None:
    """Look at configuration, database, broker, object store, clocks, processes, and at what is stuck.

    Give it the environment that the processes have. It changes nothing but for one small object, which it deletes
    again. It ends within 15 seconds, whatever is away, and prints no secret.

    Exit status 0 when all is well, 1 with warnings, 2 with failures.
    """
    from deploy.doctor import place
    from deploy.doctor.errors import NoPlatform

    try:
        found = place.find(os.environ, home, Path.cwd())
    except NoPlatform as exc:
        click.echo(f"error: {exc}", err=True)
        sys.exit(WRONG_USE)

    import psutil
    from rich.console import Console

    from deploy.doctor import masking, printing
    from deploy.doctor.examination import DEADLINE_SECONDS, LEAST_SECONDS, examine
    from deploy.doctor.findings import worst

    left = WHOLE_SECONDS - (time.time() - psutil.Process().create_time())
    findings = examine(found.env, seconds=min(DEADLINE_SECONDS, max(LEAST_SECONDS, left)))
    secrets = masking.secrets_in(found.env)
    findings = [masking.masked(finding, secrets) for finding in findings]
    if as_json:
        click.echo(printing.as_json(findings, found.words))
    else:
        printing.show(Console(highlight=False), findings, found.words)
    sys.stdout.flush()
    os._exit(worst(findings).rank)  # threads that still wait for something must not hold up the end


if __name__ == "__main__":
    import logging

    logging.disable(logging.WARNING)  # what the packages log is told as findings
    doctor(prog_name="python -m deploy.doctor")
