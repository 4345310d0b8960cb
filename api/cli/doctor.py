"""`millrace doctor`: runs the doctor where the platform's own code and environment are."""

import subprocess
import sys
from pathlib import Path

import click


@click.command()
@click.option(
    "--home",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="The platform that `make up` keeps running there.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def doctor(home: Path | None, as_json: bool) -> None:
    """Say what is wrong with a platform, and how to mend it.

    Other than every other command this one does not ask the API, which may be what is broken: it looks at database,
    broker, object store and processes itself. Run it where the platform runs, with the environment of its processes;
    without one it finds the platform that `make up` keeps running in this folder or in one above.

    Exit status 0 when all is well, 1 with warnings, 2 with failures.

    \b
    Examples:
      millrace doctor
      kubectl exec deploy/millrace-api -- millrace doctor --json
    """
    where = [] if home is None else ["--home", str(home)]
    how = ["--json"] if as_json else []
    # -P: a folder `deploy` of another project, in which this may be called, is not ours.
    done = subprocess.run([sys.executable, "-P", "-m", "deploy.doctor", *where, *how], check=False)
    sys.exit(done.returncode)


COMMANDS = (doctor,)
