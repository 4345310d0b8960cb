"""The schema that the migrations make."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect
from sqlalchemy.engine import make_url

import storage.batch_tables
import storage.image_tables
import storage.operating_tables
import storage.platform_tables
import storage.schedule_tables
import storage.template_tables
import storage.webhook_tables  # noqa: F401 - so do these
from storage import counts, likenesses
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.migrate import MIGRATIONS, upgrade
from storage.settings import DatabaseSettings
from storage.tables import metadata
from tests.storage import numbers


def not_of_pgvector(name: str | None, kind: str, _: object) -> bool:
    """The one index that SQLAlchemy cannot describe is looked at by itself, below."""
    return (kind, name) != ("index", "ix_likenesses_embedding")


def test_the_migrated_schema_is_what_the_tables_say(database_url: str) -> None:
    engine = create_engine(make_url(database_url).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        opts = {"compare_type": True, "compare_server_default": True, "include_name": not_of_pgvector}
        context = MigrationContext.configure(connection, opts=opts)
        differences = compare_metadata(context, metadata)
        found = inspect(connection)
        checks = {table: {c["name"] for c in found.get_check_constraints(table)} for table in found.get_table_names()}
        partial = {
            index["name"]: index["dialect_options"]["postgresql_where"]
            for index in found.get_indexes("steps")
            if index.get("dialect_options", {}).get("postgresql_where")
        }
    engine.dispose()
    assert differences == []
    assert checks["jobs"] == {"ck_jobs_state", "ck_jobs_stop_as"}
    assert checks["steps"] == {"ck_steps_state"}
    assert checks["likenesses"] == {"ck_likenesses_embedding"}
    assert set(partial) == {
        "ix_steps_to_publish",
        "ix_steps_due",
        "ix_steps_published",
        "ix_steps_leased",
        "ix_steps_dead",
    }


def test_where_pgvector_is_there_embeddings_have_an_index(database_url: str, database: Database) -> None:
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT indexdef FROM pg_indexes WHERE indexname = 'ix_likenesses_embedding'"
        ).fetchone()
    assert row is not None
    assert row[0].endswith("USING hnsw (((embedding)::halfvec(1280)) halfvec_cosine_ops)")
    with database.platform_read() as tx:
        assert likenesses.has_pgvector(tx)


def test_where_pgvector_must_not_be_created_there_is_all_the_rest(database_url: str, database: Database) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        connection.execute("DROP ROLE IF EXISTS plain; CREATE ROLE plain LOGIN PASSWORD 'plain'")
        connection.execute("GRANT ALL ON SCHEMA public TO plain")
        upgrade(make_url(database_url).set(username="plain", password="plain").render_as_string(hide_password=False))
        indexes = {
            row[0] for row in connection.execute("SELECT indexname FROM pg_indexes WHERE tablename = 'likenesses'")
        }
        connection.execute("DROP OWNED BY plain; DROP ROLE plain")
    assert indexes == {"pk_likenesses", "ix_likenesses_tenant_id_job_id", "ix_likenesses_embedded"}
    with database.platform_read() as tx:
        assert not likenesses.has_pgvector(tx)


def test_migrating_twice_and_at_once_does_no_harm(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(upgrade, [database_url] * 3))
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("0017",)]


def test_what_was_open_before_steps_were_counted_counts(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    engine = create_engine(make_url(database_url).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        connection.exec_driver_sql("INSERT INTO tenants (id, name) VALUES ('t', 't')")
        connection.exec_driver_sql(
            "INSERT INTO jobs (tenant_id, id, state, priority, metadata, steps_total, steps_open)"
            " VALUES ('t', 'j', 'running', 3, '{}', 5, 4)"
        )
        for position, state in enumerate(["queued", "queued", "running", "waiting", "succeeded"]):
            connection.exec_driver_sql(
                "INSERT INTO steps (tenant_id, id, job_id, position, name, kind, queue, priority, params, uses,"
                " waiting_on, state, max_attempts)"
                " VALUES ('t', 's' || %s, 'j', %s, 'a', 'echo', 'default', 3, '{}', '{}', 0, %s, 3)",
                (position, position, state),
            )
    engine.dispose()
    upgrade(database_url)
    database = Database(DatabaseSettings(url=database_url, direct_url=database_url, pool_size=2))
    numbers.check(database)
    with database.platform_read() as tx:
        assert counts.read(tx, ["default"])["default"].load.runnable == 2
    database.close()


def test_a_database_that_is_away_is_told_in_one_line() -> None:
    with pytest.raises(DatabaseUnavailable) as caught:
        upgrade("postgresql://nobody:x@127.0.0.1:1/nothing")
    assert "\n" not in str(caught.value)


# What each loop and each page of the API asks, and the index that must answer it however large the table is.
PLANS = {
    "relay": (
        "SELECT id FROM steps WHERE state = 'queued' AND published_at IS NULL AND queue = 'q'"
        " ORDER BY priority, run_at LIMIT 500",
        "ix_steps_to_publish",
    ),
    "due": (
        "SELECT id FROM steps WHERE state IN ('scheduled', 'retrying') AND run_at <= now() ORDER BY run_at LIMIT 500",
        "ix_steps_due",
    ),
    "reaper": (
        "SELECT id FROM steps WHERE state = 'running' AND lease_until < now() LIMIT 100",  # sorted: there are few
        "ix_steps_leased",
    ),
    "steps of a job": (
        "SELECT * FROM steps WHERE tenant_id = 't' AND job_id = 'j'",
        "ix_steps_tenant_id_job_id_position",
    ),
    "newest jobs": ("SELECT * FROM jobs WHERE tenant_id = 't' AND id < 'j' ORDER BY id DESC LIMIT 20", "pk_jobs"),
    "jobs in a state": (
        "SELECT * FROM jobs WHERE tenant_id = 't' AND state = 'failed' ORDER BY id DESC LIMIT 20",
        "ix_jobs_tenant_id_state_id",
    ),
    "events": ("SELECT * FROM events WHERE tenant_id = 't' AND job_id = 'j' AND seq > 3 ORDER BY seq", "pk_events"),
    "attempts": ("SELECT * FROM attempts WHERE tenant_id = 't' AND step_id = 's'", "pk_attempts"),
    "key": ("SELECT * FROM api_keys WHERE hash = '\\x00'", "uq_api_keys_hash"),
    "overdue": (
        "SELECT id FROM jobs WHERE finished_at IS NULL AND stop_as IS NULL AND deadline_at <= now()"
        " ORDER BY deadline_at LIMIT 100",
        "ix_jobs_deadline",
    ),
    "old jobs": (
        "SELECT id FROM jobs WHERE state = 'failed' AND finished_at < now() ORDER BY finished_at LIMIT 100",
        "ix_jobs_finished",
    ),
    "dead letters": ("SELECT id FROM steps WHERE tenant_id = 't' AND state = 'failed' AND kind = 'k'", "ix_steps_dead"),
    "what a worker holds": ("SELECT * FROM steps WHERE state = 'running' AND worker = 'w'", "ix_steps_leased"),
    "rejected jobs": ("SELECT id FROM jobs WHERE tenant_id = 't' AND stop_as = 'failed'", "ix_jobs_rejected"),
    "removals": ("SELECT * FROM removals WHERE due_at <= now() ORDER BY due_at LIMIT 1", "ix_removals_due_at"),
    "renditions to remove": (
        "SELECT digest FROM renditions WHERE gone_at <= now() ORDER BY gone_at LIMIT 100",
        "ix_renditions_gone_at",
    ),
    "old renditions": (
        "SELECT digest FROM renditions WHERE gone_at IS NULL AND used_at < now() LIMIT 100",
        "ix_renditions_used_at",
    ),
    "renditions of a job": (
        "SELECT digest FROM job_renditions WHERE tenant_id = 't' AND job_id = 'j'",
        "ix_job_renditions_tenant_id_job_id",
    ),
    "jobs of a rendition": (
        "SELECT job_id FROM job_renditions WHERE tenant_id = 't' AND digest = 'd'",
        "pk_job_renditions",
    ),
    "expired uploads": (
        "SELECT id FROM uploads WHERE expires_at <= now() ORDER BY expires_at LIMIT 100",
        "ix_uploads_expires_at",
    ),
    "newest uploads": (
        "SELECT * FROM uploads WHERE tenant_id = 't' AND id < 'u' ORDER BY id DESC LIMIT 20",
        "pk_uploads",
    ),
    "newest version of a template": (
        "SELECT * FROM templates WHERE tenant_id = 't' AND name = 'n' ORDER BY version DESC LIMIT 1",
        "pk_templates",
    ),
    "image key": ("SELECT * FROM image_keys WHERE id = 'k'", "ix_image_keys_id"),
    "unique keys of a job": (
        "DELETE FROM unique_keys WHERE tenant_id = 't' AND job_id = 'j'",
        "ix_unique_keys_tenant_id_job_id",
    ),
    "likenesses of a deleted job": (
        "DELETE FROM likenesses WHERE tenant_id = 't' AND job_id = 'j'",
        "ix_likenesses_tenant_id_job_id",
    ),
    "likeness of a step": ("SELECT * FROM likenesses WHERE tenant_id = 't' AND step_id = 's'", "pk_likenesses"),
    "new embeddings": (
        "SELECT step_id FROM likenesses"
        " WHERE tenant_id = 't' AND model = 'm' AND embedding IS NOT NULL AND written >= 3",
        "ix_likenesses_embedded",
    ),
    "old idempotency keys": ("DELETE FROM idempotency WHERE created_at < now()", "ix_idempotency_created_at"),
}


@pytest.mark.parametrize("asked", PLANS)
def test_every_query_has_its_index(database_url: str, asked: str) -> None:
    query, index = PLANS[asked]
    with psycopg.connect(database_url) as connection:
        # Plain index scans only: on an empty table everything else is as cheap, and the question is whether one can be.
        connection.execute(
            "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off"
        )
        plan = "\n".join(row[0] for row in connection.execute("EXPLAIN " + query))  # type: ignore[operator,unused-ignore]
    assert index in plan
    assert "Sort" not in plan
