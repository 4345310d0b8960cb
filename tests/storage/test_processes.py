"""Processes that say that they live, and what becomes of those that do not any more."""

import pytest

from storage import presence, processes
from storage.database import Database
from storage.processes import Known, Living
from storage.settings import DatabaseSettings
from storage.telemetry.settings import TelemetrySettings
from storage.telemetry.start import Telemetry
from tests.waiting import until

TOLD = Telemetry(
    settings=TelemetrySettings(role="scheduler", name="scheduler@here/1", version="1.2"), metrics_url="http://a:1"
)


def living(database: Database) -> list[Living]:
    with database.platform_read() as tx:
        return processes.living(tx)


def known(name: str) -> Known:
    return Known(name=name, role="scaler", version="1", metrics_url=None, detail={})


def test_a_process_is_there_while_it_says_so_and_is_gone_with_its_last_word(database: Database) -> None:
    with presence.telling(database, TOLD, {"loops": ["relay"]}, every_seconds=0.01):
        [seen] = until(lambda: living(database))
        assert (seen.name, seen.role, seen.version, seen.metrics_url) == (
            *("scheduler@here/1", "scheduler", "1.2"),
            "http://a:1",
        )
        assert seen.detail == {"loops": ["relay"]}
        with database.platform() as tx:
            tx.sql("DELETE FROM processes")
        assert until(lambda: living(database))  # it says so again and again
    assert not living(database)


def test_a_database_that_is_away_is_told_later_and_said_once(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with database.platform() as tx:
        tx.sql("ALTER TABLE processes RENAME TO away")
    with presence.telling(database, TOLD, every_seconds=0.01):
        until(lambda: "presence.untold" in caplog.text)
        with database.platform() as tx:
            tx.sql("ALTER TABLE away RENAME TO processes")
        until(lambda: living(database))
    assert caplog.text.count("presence.untold") == 1


def test_nothing_waits_for_a_database_that_cannot_be_reached() -> None:
    nowhere = "postgresql://nobody:secret@127.0.0.1:1/nothing"
    database = Database(DatabaseSettings(url=nowhere, direct_url=nowhere, pool_size=1))
    with presence.telling(database, TOLD, every_seconds=0.01):
        pass
    database.close()


def test_one_that_says_nothing_any_more_is_not_counted_and_forgotten_after_an_hour(database: Database) -> None:
    with database.platform() as tx:
        processes.seen(tx, known("a"), for_seconds=-1)
        processes.seen(tx, known("b"), for_seconds=-3601)
        processes.seen(tx, known("c"))
        assert [one.name for one in processes.living(tx)] == ["c"]
        assert processes.forget_dead(tx) == 1
        assert tx.sql("SELECT count(*) FROM processes").scalar_one() == 2
