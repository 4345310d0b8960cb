"""`python -m tests.bench.depth`: what everything costs with a million finished jobs behind it, and with none.

`fill` makes two homes of the platform, `empty` and `deep`, in a folder that stays; the other commands measure in them.
"""

import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click
import psycopg

from deploy.local.servers import embedded_servers
from storage.database import Database
from storage.migrate import upgrade
from storage.model import TenantId
from storage.settings import DatabaseSettings
from storage.tenants import ensure
from tests.bench.depth import fill as filling
from tests.bench.depth import platform, sizes, statements

FOLDER = Path("/tmp/millrace-depth")
SHALLOW = 1000  # jobs that wait in the empty database, so that there is something to claim


@click.group()
@click.option("--folder", type=click.Path(path_type=Path), default=FOLDER, show_default=True)
@click.pass_context
def depth(context: click.Context, folder: Path) -> None:
    """Measure at depth. Run `fill` first."""
    context.obj = folder.absolute()


@depth.command()
@click.option("--finished", default=1_000_000, show_default=True)
@click.option("--queued", default=200_000, show_default=True)
@click.pass_obj
def fill(folder: Path, finished: int, queued: int) -> None:
    """Make both homes anew."""
    for name, counts in {"empty": (0, SHALLOW), "deep": (finished, queued)}.items():
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir(parents=True)
        with database_in(folder / name) as (url, database, tenant):
            began = time.monotonic()
            with database.platform() as tx:
                tenants = [tenant, *(ensure(tx, other) for other in filling.TENANTS[1:])]
            filling.fill(url, tenants, finished=counts[0], queued=counts[1])
            print(f"{name}: {counts[0]:,} finished and {counts[1]:,} queued in {time.monotonic() - began:.0f} s")
            if finished and name == "deep":
                sizes.tell(database, jobs=sum(counts))


@depth.command("statements")
@click.option("--plans", is_flag=True, help="Print the plans of what took 10 ms or longer.")
@click.option("--after", type=click.Path(path_type=Path, exists=True), help="SQL to run, and to measure again after.")
@click.pass_obj
def statements_(folder: Path, plans: bool, after: Path | None) -> None:
    """Each statement of the hot paths, empty and deep."""
    seen: dict[str, Mapping[str, statements.Seen]] = {}
    for name in ("empty", "deep"):
        with database_in(folder / name) as (url, database, tenant):
            seen[name] = statements.measure(database, tenant)
            if after is not None:
                with psycopg.connect(url, autocommit=True) as connection:
                    connection.execute(after.read_bytes())
                    connection.execute("VACUUM ANALYZE")
                seen[f"{name}, after"] = statements.measure(database, tenant)
    columns = [name for name in ("empty", "empty, after", "deep", "deep, after") if name in seen]
    print(f"{'ms':<36} {' '.join(f'{name:>12}' for name in columns)}   blocks  read whole; indexes")
    for act, last in seen[columns[-1]].items():
        whole = " ".join(f"[{table}]" for table in sorted(last.whole))
        took = " ".join(f"{seen[name][act].ms:12.2f}" for name in columns)
        print(f"{act:<36} {took} {last.blocks:8}  {whole} {' '.join(sorted(last.indexes))}")
    for name in columns[-2:] if plans else ():
        for act, one in seen[name].items():
            if one.ms >= 10:
                statements.tell(f"{name}: {act}", one)


@depth.command("platform")
@click.option("--jobs", default=2000, show_default=True, help="To drain, in each turn.")
@click.option("--requests", default=1500, show_default=True)
@click.option("--rounds", default=2, show_default=True)
@click.argument("parts", nargs=-1, type=click.Choice(list(platform.PARTS)))
@click.pass_obj
def platform_(folder: Path, jobs: int, requests: int, rounds: int, parts: tuple[str, ...]) -> None:
    """Drain, submit rate, idle latency, pages and idle CPU of the whole platform, empty and deep in turn."""
    platform.compare(folder, parts or tuple(platform.PARTS), jobs=jobs, requests=requests, rounds=rounds)


@depth.command("sizes")
@click.option("--of", "name", default="deep", show_default=True, type=click.Choice(["empty", "deep"]))
@click.option("--fresh", is_flag=True, help="Write the tables anew, and print them again: what is saved was bloat.")
@click.pass_obj
def sizes_(folder: Path, name: str, fresh: bool) -> None:
    """Bytes per job of each table and index as they are now."""
    with database_in(folder / name) as (url, database, _tenant):
        sizes.tell(database)
        if fresh:
            with psycopg.connect(url, autocommit=True) as connection:
                for table in ("jobs", "steps", "attempts", "events"):
                    connection.execute(f"VACUUM FULL {table}")  # type: ignore[arg-type,unused-ignore]
            sizes.tell(database)


@contextmanager
def database_in(home: Path) -> Iterator[tuple[str, Database, TenantId]]:
    """The database of a home, in its newest version, and the tenant whom its platform's key belongs to."""
    with embedded_servers(home, ["postgres"], durable=True) as urls:
        assert urls.database is not None
        upgrade(urls.database)
        database = Database(DatabaseSettings(url=urls.database, direct_url=urls.database, pool_size=2))
        with database.platform() as tx:
            tenant = ensure(tx, filling.TENANTS[0])
        yield urls.database, database, TenantId(tenant)
        database.close()


if __name__ == "__main__":
    sys.exit(depth(prog_name="python -m tests.bench.depth"))
