"""`python -m storage`: the schema, the bucket, tenants and their keys, what seals secrets."""

import os
import sys

import click

from storage import settings, tenants
from storage.database import Database
from storage.errors import StorageError
from storage.model import TERMINAL_JOB_STATES, JobState, KeyId

DEFAULT_SCOPES = "jobs:read,jobs:write"  # to operate is to stop queues for everybody


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def storage() -> None:
    """Look after Millrace's database and bucket. Reads DATABASE_URL, STORAGE_URL and the AWS_* variables."""
    from storage.telemetry import logs
    from storage.telemetry import settings as telemetry_settings

    logs.set_up(telemetry_settings.from_env(os.environ, "storage"))


@storage.command()
def migrate() -> None:
    """Bring the database's schema to the newest version."""
    from storage.migrate import upgrade

    upgrade(settings.from_env(os.environ).direct_url)
    click.echo("the schema is up to date")


@storage.command()
@click.option("--allow-origin", multiple=True, help="Web origin that may upload and fetch directly; may be repeated.")
def bucket(allow_origin: tuple[str, ...]) -> None:
    """Create the bucket if it is missing and set its rules."""
    from storage.objects import settings as objects
    from storage.objects.buckets import ensure_bucket

    ensure_bucket(objects.from_env(os.environ), allowed_origins=allow_origin)
    click.echo("the bucket is ready")


@storage.command()
def recount() -> None:
    """Count the open steps and set the queues' counters right, as after a restore that ran no triggers."""
    from storage import journal

    database = Database(settings.from_env(os.environ))
    with database.platform() as tx:
        tx.sql("SET LOCAL statement_timeout = 0")
        corrected = journal.correct(tx)
    database.close()
    for one in corrected:
        click.echo(f"{one.queue}, priority {one.priority}: {one.steps:+d} {one.state}")
    click.echo(f"{len(corrected)} counters were wrong" if corrected else "all counters are right")


@storage.command()
def reseal() -> None:
    """Seal with SECRET_KEY what the keys in SECRET_KEY_FALLBACKS have sealed, so that these can be forgotten.

    Exit status 1 if something cannot be opened: it is named, and left as it is.
    """
    from storage.resealing import reseal_image_keys, reseal_secrets, reseal_webhooks
    from storage.sealing import keyring_from_env

    keyring = keyring_from_env(os.environ)
    if keyring is None:
        raise click.ClickException("SECRET_KEY is not set")
    database = Database(settings.from_env(os.environ))
    left: list[str] = []
    acts = {"secrets": reseal_secrets, "webhooks": reseal_webhooks, "image keys": reseal_image_keys}
    for what, act in acts.items():
        done = act(database, keyring)
        click.echo(f"{what} sealed anew: {done.count}")
        left += done.left
    database.close()
    for one in left:
        click.echo(f"error: {one}", err=True)
    sys.exit(1 if left else 0)


@storage.group()
def keys() -> None:
    """API keys of tenants."""


@keys.command("create")
@click.option("--tenant", required=True, help="Name of the tenant; made if there is none.")
@click.option(
    "--scopes",
    "--scope",
    default=DEFAULT_SCOPES,
    show_default=True,
    help=f"What the key may do, with commas: {', '.join(tenants.SCOPES)}.",
)
def create(tenant: str, scopes: str) -> None:
    """Make a key and print it: it is stored as a hash and cannot be shown again."""
    wanted = [scope.strip() for scope in scopes.split(",") if scope.strip()]
    unknown = sorted(set(wanted) - set(tenants.SCOPES))
    if unknown or not wanted:
        raise click.BadParameter(
            f"{', '.join(unknown) or 'empty'}; there are: {', '.join(tenants.SCOPES)}", param_hint="--scopes"
        )
    database = Database(settings.from_env(os.environ))
    with database.platform() as tx:
        key = tenants.create_key(tx, tenants.ensure(tx, tenant), wanted)
    click.echo(key)


@keys.command("list")
@click.option("--tenant", required=True, help="Name of the tenant.")
def list_(tenant: str) -> None:
    """Show a tenant's keys: id, first characters, scopes, state."""
    database = Database(settings.from_env(os.environ))
    with database.platform() as tx:
        for key_id, hint, scopes, revoked in tenants.keys_of(tx, tenant):
            click.echo(f"{key_id}  {hint}…  {','.join(scopes)}  {'revoked' if revoked else 'valid'}")


@keys.command()
@click.argument("key_id")
def revoke(key_id: str) -> None:
    """Make a key worthless, by its id (see `keys list`)."""
    database = Database(settings.from_env(os.environ))
    with database.platform() as tx:
        if not tenants.revoke_key(tx, KeyId(key_id)):
            raise click.ClickException(f"there is no key {key_id}")
    click.echo(f"{key_id} is revoked")


@keys.command()
@click.option("--scopes", default="", help="What it must be allowed to do, with commas.")
def check(scopes: str) -> None:
    """Exit 0 if the key in MILLRACE_API_KEY is valid here, 1 if not."""
    database = Database(settings.from_env(os.environ))
    with database.platform() as tx:
        found = tenants.who_has(tx, os.environ.get("MILLRACE_API_KEY", ""))
    wanted = {scope.strip() for scope in scopes.split(",") if scope.strip()}
    sys.exit(0 if found and wanted <= found.scopes else 1)


@storage.command()
@click.option("--tenant", required=True, help="Name of the tenant.")
@click.option("--state", required=True, type=click.Choice(sorted(TERMINAL_JOB_STATES)), help="How the jobs ended.")
@click.option("--days", required=True, type=click.FloatRange(min=0), help="How long they are kept; 0: for ever.")
def retention(tenant: str, state: str, days: float) -> None:
    """Keep a tenant's ended jobs for another time than RETENTION_DAYS says."""
    from storage.retention import keep

    database = Database(settings.from_env(os.environ))
    with database.platform() as tx:
        keep(tx, tenants.ensure(tx, tenant), {JobState(state): days * 86_400 or None})
    click.echo(f"{tenant}: {state} jobs are kept {f'for {days:g} days' if days else 'for ever'}")


if __name__ == "__main__":
    try:
        storage(prog_name="python -m storage")
    except StorageError as exc:
        sys.exit(f"error: {exc}")
