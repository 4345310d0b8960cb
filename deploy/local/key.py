"""`python -m deploy.local.key FILE`: keeps an API key that is valid in the database of DATABASE_URL in a private file.

A program of its own, so that it is a step like the others: it has a log, and it can be stopped.
"""

import subprocess
import sys
from pathlib import Path

from deploy.local import private
from deploy.local.settings import from_env

SCOPES = "jobs:read,jobs:write,operate"
STORAGE = (sys.executable, "-m", "storage", "keys")


def keep(file: Path) -> None:
    """Make a key unless the one in the file is valid; ends the program with the status of the command that fails."""
    if file.exists() and _valid(file.read_text(encoding="utf-8").strip()):
        return
    made = subprocess.run(
        (*STORAGE, "create", "--tenant", "demo", "--scopes", SCOPES),
        stdout=subprocess.PIPE,  # not into the log: it is a secret
        text=True,
        check=False,
    )
    if made.returncode != 0:
        sys.exit(made.returncode)
    private.write(file, made.stdout.split()[-1])


def _valid(key: str) -> bool:
    environ = {**from_env().environ, "MILLRACE_API_KEY": key}
    return subprocess.run((*STORAGE, "check", "--scopes", SCOPES), env=environ, check=False).returncode == 0


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
