"""Single statements of an event loop."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from storage.async_database import AsyncDatabase
from storage.errors import DatabaseRefused, DatabaseUnavailable, NotStorable
from storage.settings import DatabaseSettings

Scene = Callable[[AsyncDatabase], Awaitable[Any]]
PID = "SELECT pg_backend_pid() AS pid"


def played(url: str, scene: Scene, *, connections: int = 1) -> Any:
    """What comes of the scene on such a database."""

    async def play() -> Any:
        database = AsyncDatabase(DatabaseSettings(url=url, direct_url=url), connections=connections)
        try:
            return await scene(database)
        finally:
            await database.close()

    return asyncio.run(play())


def end(url: str, pid: int) -> None:
    """End the server's side of a connection, as a restart would, and see it gone."""
    with psycopg.connect(make_conninfo(url), autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


def test_each_statement_stands_by_itself_and_gives_its_rows(database_url: str) -> None:
    async def scene(database: AsyncDatabase) -> list[Any]:
        assert await database.sql("CREATE TABLE seen (number int)") == []
        await database.sql("INSERT INTO seen SELECT generate_series(1, %(most)s)", most=3)
        return await database.sql("SELECT number, number * 2 AS twice FROM seen ORDER BY number")

    assert [(row.number, row.twice) for row in played(database_url, scene)] == [(1, 2), (2, 4), (3, 6)]
    with psycopg.connect(make_conninfo(database_url)) as other:
        assert other.execute("SELECT count(*) FROM seen").fetchone() == (3,)


@pytest.mark.parametrize("connections", [1, 2])
def test_no_more_connections_than_allowed_are_opened_and_they_are_used_again(
    database_url: str, connections: int
) -> None:
    async def scene(database: AsyncDatabase) -> set[int]:
        asked = (database.sql(f"{PID}, pg_sleep(0.02)") for _ in range(6))
        return {rows[0].pid for rows in await asyncio.gather(*asked)}

    assert len(played(database_url, scene, connections=connections)) == connections


def test_errors_are_told_apart_and_the_connection_goes_on(database_url: str) -> None:
    async def scene(database: AsyncDatabase) -> None:
        (first,) = await database.sql(PID)
        with pytest.raises(NotStorable, match="out of range"):
            await database.sql("SELECT %(number)s::int", number=2**40)
        with pytest.raises(DatabaseRefused, match="nowhere"):
            await database.sql("SELECT * FROM nowhere")
        assert await database.sql(PID) == [first]

    played(database_url, scene)


def test_a_connection_that_the_server_has_left_while_idle_is_replaced_unseen(database_url: str) -> None:
    async def scene(database: AsyncDatabase) -> None:
        (first,) = await database.sql(PID)
        await asyncio.to_thread(end, database_url, first.pid)
        (second,) = await database.sql(PID)
        assert second != first

    played(database_url, scene)


def test_a_connection_that_breaks_at_work_is_told_and_replaced(database_url: str) -> None:
    async def scene(database: AsyncDatabase) -> None:
        (first,) = await database.sql(PID)
        asked = asyncio.create_task(database.sql("SELECT pg_sleep(60)"))
        await asyncio.sleep(0.05)
        await asyncio.to_thread(end, database_url, first.pid)
        with pytest.raises(DatabaseUnavailable):
            await asked
        (second,) = await database.sql(PID)
        assert second != first

    played(database_url, scene)


def test_a_server_that_is_away_is_told_at_once() -> None:
    async def scene(database: AsyncDatabase) -> None:
        for _ in range(2):
            with pytest.raises(DatabaseUnavailable):
                await database.sql(PID)

    played("postgresql://nobody@127.0.0.1:1/nothing", scene)


def test_who_is_cancelled_leaves_no_answer_for_the_next(database_url: str) -> None:
    async def scene(database: AsyncDatabase) -> None:
        asked = asyncio.create_task(database.sql("SELECT 1 AS number, pg_sleep(60)"))
        await asyncio.sleep(0.1)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert [row.number for row in await database.sql("SELECT 2 AS number")] == [2]

    played(database_url, scene)
