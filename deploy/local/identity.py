"""Who runs PostgreSQL, which refuses to be root: three ways that leave no trace on the machine, in order."""

import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import CannotPrepare

NOBODY = 65534


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """How to start a PostgreSQL program: from which folder, with what before it, as which user.

    `owner` is the user that the data folder must belong to, as seen from outside; `uid` the user to change to first.
    """

    programs: Path
    owner: int
    prefix: tuple[str, ...] = ()
    uid: int | None = None

    def command(self, program: str, *arguments: str) -> tuple[str, ...]:
        """Return the whole command line of one of the programs."""
        return (*self.prefix, str(self.programs / program), *arguments)


def choose(programs: Path, home: Path) -> Identity:
    """Return the first way that works here.

    Raises CannotPrepare with the reason of each way that does not.
    """
    reasons = []
    for way in (as_we_are, in_a_user_namespace, as_nobody):
        try:
            return way(programs, home)
        except CannotPrepare as exc:
            reasons.append(f"  {way.__name__.replace('_', ' ')}: {exc}")
    raise CannotPrepare(
        "PostgreSQL refuses to run as root, and no other way works here:\n"
        + "\n".join(reasons)
        + "\nStart as an ordinary user, or set DATABASE_URL to a database that runs elsewhere."
    )


def as_we_are(programs: Path, _home: Path) -> Identity:
    """Run it as the user we are; not for root."""
    if os.geteuid() == 0:
        raise CannotPrepare("we are root")
    return Identity(programs=programs, owner=os.geteuid())


def in_a_user_namespace(programs: Path, _home: Path) -> Identity:
    """Run it where our own user goes by another number; the files stay ours."""
    unshare = shutil.which("unshare")
    if unshare is None:
        raise CannotPrepare("the program unshare is not installed")
    # The number must be in /etc/passwd: initdb looks up its own name.
    number = _somebody()
    identity = Identity(
        programs=programs,
        owner=os.geteuid(),
        prefix=(unshare, "--user", f"--map-user={number}", f"--map-group={number}"),
    )
    _try_out(identity)
    return identity


def as_nobody(programs: Path, home: Path) -> Identity:
    """Run it as user 65534, from a copy of the programs under `home` when it cannot reach them where they are."""
    if os.geteuid() != 0:
        raise CannotPrepare("only root can change to another user")
    home.chmod(home.stat().st_mode | 0o011)  # to pass through, not to list; our files in it are 0600
    try:
        in_place = Identity(programs=programs, owner=NOBODY, uid=NOBODY)
        _try_out(in_place)
    except CannotPrepare:
        copied = Identity(programs=_copy(programs, home / "postgres-programs"), owner=NOBODY, uid=NOBODY)
        _try_out(copied)
        return copied
    _pass_through(home)
    return in_place


def own(folder: Path, owner: int) -> None:
    """Give a folder and all in it to this user, when it is not theirs already."""
    if os.geteuid() != 0 or folder.stat().st_uid == owner:
        return
    for path in (*folder.rglob("*"), folder):  # the folder last: it says whether the work was finished
        os.chown(path, owner, -1, follow_symlinks=False)


def _somebody() -> int:
    """Return a user number other than root's that the machine knows by name."""
    numbers = {entry.pw_uid for entry in pwd.getpwall()} - {0}
    if not numbers:
        raise CannotPrepare("/etc/passwd names no user but root")
    return NOBODY if NOBODY in numbers else max(numbers)


def _try_out(identity: Identity) -> None:
    try:
        result = subprocess.run(
            identity.command("postgres", "--version"),
            user=identity.uid,
            group=identity.uid,
            extra_groups=None if identity.uid is None else (),
            cwd="/",
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except OSError as exc:
        raise CannotPrepare(f"{identity.programs}: {exc.strerror}") from exc
    if result.returncode != 0:
        raise CannotPrepare(result.stderr.strip() or f"exit status {result.returncode}")


def _pass_through(folder: Path) -> None:
    for parent in folder.parents:
        if not parent.stat().st_mode & 0o001:
            raise CannotPrepare(f"user {NOBODY} cannot enter {parent}; set MILLRACE_HOME to a folder below one it can")


def _copy(programs: Path, target: Path) -> Path:
    """Copy the installation (programs, libraries, shared files) for everyone to read; return its bin folder.

    The wheel's libraries lie beside its package, and the programs find them by a relative path: both are copied, as far
    from each other as they were.
    """
    _pass_through(target)
    installation = programs.parent
    package = installation.parent
    finished = target / package.name / installation.name / programs.name
    if not (finished / "postgres").is_file():
        shutil.rmtree(target, ignore_errors=True)
        building = Path(tempfile.mkdtemp(dir=target.parent, prefix=f"{target.name}-"))
        shutil.copytree(installation, building / package.name / installation.name, symlinks=True)
        libraries = package.with_name(package.name + ".libs")
        if libraries.is_dir():
            shutil.copytree(libraries, building / libraries.name, symlinks=True)
        for path in (building, *building.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
        building.rename(target)
    return finished
