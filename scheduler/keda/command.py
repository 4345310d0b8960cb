"""`python -m scheduler keda`: answers KEDA."""

import asyncio
import logging
import os
import signal
import threading
from functools import partial
from pathlib import Path

import click

from scheduler import numbers, settings
from scheduler.folder import Folder
from scheduler.keda.question import NumbersOf
from scheduler.keda.server import Server
from scheduler.keda.service import Service
from scheduler.keda.tls import Files, credentials
from scheduler.keda.web import Web
from storage.database import Database
from storage.presence import telling
from storage.telemetry import start as telemetry

log = logging.getLogger(__name__)

Address = tuple[str, int]


def _address(_: click.Context, option: click.Parameter, raw: str | None) -> Address | None:
    if raw is None:
        return None
    host, _colon, port = raw.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise click.BadParameter(f"must be HOST:PORT such as 0.0.0.0:6000, not {raw!r}", param=option)
    return host.removeprefix("[").removesuffix("]"), int(port)


_file = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--listen", metavar="HOST:PORT", default="127.0.0.1:6000", show_default=True, callback=_address, help="For KEDA."
)
@click.option("--http", metavar="HOST:PORT", callback=_address, help="Answer with JSON too, without TLS.")
@click.option("--tls-cert", type=_file, help="PEM, with its chain; read again when it is renewed.")
@click.option("--tls-key", type=_file, help="PEM; of --tls-cert.")
@click.option("--tls-ca", type=_file, help="PEM; only clients with a certificate of this authority are answered.")
@click.option("--pools", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Instead of POOLS_DIR.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=2.0,
    show_default=True,
    help="Seconds between looks for what a stream must tell, and for changed pools.",
)
@click.option(
    "--deletion-costs", is_flag=True, help="Also keep the deletion costs of the pools' pods right: idle ones go first."
)
def keda(
    listen: Address,
    http: Address | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_ca: Path | None,
    pools: Path | None,
    interval: float,
    deletion_costs: bool,
) -> None:
    """Tell KEDA how much there is to do: its triggers `external` and `external-push`, over gRPC."""
    if (tls_cert is None) != (tls_key is None) or (tls_ca and not tls_cert):
        raise click.UsageError("--tls-cert and --tls-key go together, and --tls-ca needs both")
    found = settings.from_env(os.environ)
    told = telemetry.start("keda", os.environ)
    files = Files(cert=tls_cert, key=tls_key, ca=tls_ca) if tls_cert and tls_key else None
    folder = Folder(pools or found.pools)
    database, stop = Database(found.database), threading.Event()
    costs = _costs(database, folder, stop) if deletion_costs else None
    try:
        with telling(database, told):
            asyncio.run(_serve(folder, partial(numbers.read, database), listen, http, files, interval))
    finally:
        stop.set()
        if costs:
            costs.join()
        telemetry.send_rest()
        database.close()


def _costs(database: Database, folder: Folder, stop: threading.Event) -> threading.Thread:
    # They need an extra that nothing else here does.
    from scheduler.costs import note_costs  # noqa: PLC0415
    from scheduler.kubernetes import connect  # noqa: PLC0415

    target = partial(note_costs, database, connect(), folder, stop)
    thread = threading.Thread(target=target, name="costs")
    thread.start()
    return thread


async def _serve(
    folder: Folder, numbers_of: NumbersOf, listen: Address, http: Address | None, files: Files | None, interval: float
) -> None:
    """Serve until SIGTERM or SIGINT."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    server = Server(Service(folder, numbers_of, interval), _written(listen), credentials(files) if files else None)
    web = Web(folder, numbers_of, *http) if http else None
    port = await server.start()
    if web:
        web.start()
    log.info(
        "keda.ready listen=%s http=%s tls=%s pools=%s",
        _written((listen[0], port)),
        _written((http[0], web.port)) if http and web else "off",
        files is not None,
        ",".join(folder.pools),
    )
    await told.wait()
    if web:
        await asyncio.to_thread(web.stop)
    await server.stop()


def _written(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
