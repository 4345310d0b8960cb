"""Brings the database's schema to the newest version."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from storage import journal
from storage.database import PlatformTx
from storage.errors import DatabaseUnavailable

COUNTED = "0003"  # since this revision changes of steps are counted
MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(url: str) -> None:
    """Run every migration that has not run yet; safe to call twice at once (the second waits and finds it done).

    `url` goes to the server directly, not through a transaction pooler. Raises DatabaseUnavailable.
    """
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    try:
        with engine.begin() as connection:
            # One migration at a time: any number of processes may start together.
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('millrace migrations'))")
            config = Config()
            config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
            config.attributes["connection"] = connection
            before = MigrationContext.configure(connection).get_current_revision()
            command.upgrade(config, "head")
        if before is not None and before < COUNTED:
            with engine.begin() as connection:  # apart, so that nothing waits for it
                journal.correct(PlatformTx(connection=connection))
    except OperationalError as exc:
        raise DatabaseUnavailable(str(exc.orig).strip().splitlines()[0]) from exc
    finally:
        engine.dispose()
