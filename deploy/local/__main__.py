"""`python -m deploy.local`: the whole platform on one machine, from the terminal."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from deploy.local.errors import AlreadyRunning, BadSetting, CannotPrepare, PartFailed


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def local() -> None:
    """Run the whole platform on this machine: no root, no Docker, real servers on loopback.

    \b
    MILLRACE_HOME            its data, logs and addresses (default: ./.millrace)
    DATABASE_URL             use this database instead of the embedded PostgreSQL
    CELERY_BROKER_URL        use this broker instead of the embedded Valkey
    STORAGE_URL              use this bucket (with AWS_…) instead of the embedded SeaweedFS
    MILLRACE_POSTGRES_BIN    folder with other PostgreSQL programs
    MILLRACE_VALKEY_BIN      another valkey-server or redis-server
    MILLRACE_WEED_BIN        another weed
    """


@local.command()
def up() -> None:
    """Start everything and keep it until Ctrl-C.

    Prints the addresses and an API key, and writes them to run.json in its home for scripts. Ctrl-C stops everything
    within 10 seconds, a second Ctrl-C at once; the data stays for the next start.
    """
    from deploy.local import settings, stack
    from deploy.local.banner import banner

    with _readable_errors():
        chosen = settings.from_env()
        click.echo(f"Starting Millrace; data and logs in {_short(chosen.home)}")
        try:
            with stack.supervised(chosen, say=_say) as (running, supervisor):
                banner(running, chosen.home)
                supervisor.wait_failed()
        except KeyboardInterrupt:
            click.echo("Everything is stopped.")


@local.command()
@click.argument("photos", nargs=-1, metavar="[PHOTO]...")
def demo(photos: tuple[str, ...]) -> None:
    """Send photographs through the whole platform and show what comes out.

    Starts the platform and stops it again, or uses the one that runs here. Without PHOTO: the sample photographs.
    """
    from deploy.local import demo as demonstration

    with _readable_errors():
        try:
            sys.exit(demonstration.run(photos))
        except KeyboardInterrupt:
            sys.exit(130)


@local.command()
def down() -> None:
    """Stop the platform of this home: one that runs, or what a killed one left behind."""
    import psutil

    from deploy.local import home as homes
    from deploy.local import orphans, servers, settings

    with _readable_errors():
        home = settings.from_env().home
        if not home.exists():
            click.echo(f"Nothing runs here: there is no {_short(home)}.")
            return
        holder = homes.holder(home)
        if holder:
            with contextlib.suppress(psutil.NoSuchProcess):
                launcher = psutil.Process(holder)
                launcher.terminate()
                orphans.wait_gone([launcher], 20)
            click.echo(f"Stopped the platform of process {holder}.")
        with homes.held(home) as left:
            servers.sweep(home)
            click.echo(f"Stopped what was left: {', '.join(left)}." if left else "Nothing is left running.")


@local.command()
def status() -> None:
    """Show what runs here; exit status 0 when all of it does, 1 when not."""
    from deploy.local import banner, settings

    with _readable_errors():
        sys.exit(0 if banner.status(settings.from_env().home) else 1)


@local.command()
def env() -> None:
    """Print the environment of the platform that runs here, for `eval "$(python -m deploy.local env)"`.

    With it `python -m scheduler …`, `python -m storage …` and `celery …` work on the same database and broker. API and
    KEY are there for curl. It holds passwords.
    """
    import shlex

    from deploy.local import settings, stack

    with _readable_errors():
        found = stack.find_running(settings.from_env().home)
        if found is None:
            click.echo("error: nothing runs here; `make up` starts it", err=True)
            sys.exit(1)
        for name, value in {**found.env, "API": found.api, "KEY": found.key}.items():
            click.echo(f"export {name}={shlex.quote(value)}")


@contextlib.contextmanager
def _readable_errors() -> Iterator[None]:
    """Turn signals into an orderly end, and what goes wrong into one readable block and exit status 1."""
    from deploy.local.interrupt import interruptible

    try:
        with interruptible():
            yield
    except (AlreadyRunning, BadSetting, CannotPrepare, PartFailed) as exc:
        click.echo(f"\nerror: {exc}", err=True)
        sys.exit(1)


def _say(line: str) -> None:
    click.echo(f"  {line}")


def _short(path: Path) -> str:
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


if __name__ == "__main__":
    local(prog_name="python -m deploy.local")
