"""Serves a process's numbers to Prometheus, in processes that serve no HTTP otherwise."""

import ipaddress
import logging
import os
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from storage.errors import ConfigurationError
from storage.telemetry import metric_families, metric_store
from storage.telemetry.settings import TelemetrySettings

log = logging.getLogger(__name__)

IDLE_SECONDS = 10.0  # a client that says nothing for so long is not waited for
PATHS = ("/metrics", "/")


def set_up(settings: TelemetrySettings) -> str | None:
    """Serve `/metrics`, if a port is set; returns the address at which others reach it.

    The HTTP process serves its numbers itself, of all processes that share METRICS_DIR. Where nobody can ask nothing is
    counted. Raises ConfigurationError if the port cannot be had.
    """
    if settings.role == "api":
        if settings.metrics_dir is not None:
            metric_store.share(settings.metrics_dir)
        return None
    if settings.metrics_port is None:
        metric_store.off()
        return None
    if settings.role == "worker":  # it forks
        metric_store.share()
    try:
        server = _server(settings.metrics_host, settings.metrics_port)
    except OSError as exc:
        where = f"{settings.metrics_host}:{settings.metrics_port}"
        raise ConfigurationError(f"METRICS_PORT, METRICS_HOST: numbers cannot be served at {where}: {exc}") from exc
    # A child must not keep the port from the worker that comes after its parent.
    os.register_at_fork(after_in_child=server.socket.close)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    url = settings.metrics_url or f"http://{_written(settings.metrics_host)}:{server.server_address[1]}"
    log.info("metrics.served url=%s", url)
    return url


# The standard library's servers are made by inheritance, against the house's rule.
class _Handler(BaseHTTPRequestHandler):
    """Answers with the numbers, to whoever reaches the port: they name no tenant."""

    timeout = IDLE_SECONDS
    server_version = "Millrace"
    sys_version = ""

    def do_GET(self) -> None:
        if self.path.partition("?")[0] not in PATHS:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        try:
            text = metric_families.text()
        except Exception:  # the edge: a scrape that fails must be seen, and must end nothing
            log.exception("metrics.not_told")
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR)
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", CONTENT_TYPE_PLAIN_0_0_4)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Nothing: a scrape every few seconds is no news."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # clients that stay must not keep the process from ending
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        log.debug("metrics.client_left address=%s", client_address)


class _ServerV6(_Server):
    address_family = socket.AF_INET6


def _server(host: str, port: int) -> ThreadingHTTPServer:
    return (_ServerV6 if ":" in host else _Server)((host, port), _Handler)


def _written(host: str) -> str:
    """The host as others write it; of one that listens everywhere, this machine's name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return socket.gethostname()
    return f"[{host}]" if address.version == 6 else host
