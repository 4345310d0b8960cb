"""The same readings as JSON, for KEDA's trigger `metrics-api` and for people with curl.

`GET /v1/pools/{pool}/{trigger}`, where the trigger is one of the pool's file by its name. `/livez` and `/readyz` do not
ask the database: taken out of a Service, this process could not even say why there is no number.
"""

import json
import logging
import math
import socket
import threading
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from scheduler.errors import ConfigurationError, NumbersUnavailable
from scheduler.folder import Folder
from scheduler.keda import question
from scheduler.keda.errors import Unknown
from scheduler.keda.question import NumbersOf
from scheduler.pools import Pool
from storage.model import Json
from tasks.flaws import nearest

log = logging.getLogger(__name__)

SLOW_CLIENT_SECONDS = 10.0
_CODES = {404: "not_found", 405: "method_not_allowed", 500: "internal_error", 503: "numbers_unavailable"}


class Web:
    """Holds the port and the thread that answers there."""

    def __init__(self, folder: Folder, numbers_of: NumbersOf, host: str, port: int) -> None:
        """Takes the port (0: any that is free); raises ConfigurationError."""
        kind = _ServerV6 if ":" in host else ThreadingHTTPServer
        try:
            self._server = kind((host, port), partial(_Handler, folder, numbers_of))
        except (OSError, OverflowError) as exc:
            raise ConfigurationError(f"--http: {host}:{port} cannot be had: {exc}") from exc
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="keda-http", daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def answer(folder: Folder, numbers_of: NumbersOf, path: str) -> tuple[int, Json]:
    """Status and document of a path, which may carry a query that nobody reads."""
    try:
        match [unquote(part) for part in urlsplit(path).path.split("/")[1:]]:
            case ["livez"]:
                return 200, {"status": "alive"}
            case ["readyz"]:
                return 200, {"status": "ready"}
            case ["v1", "pools", name, trigger]:
                return 200, _reading(question.find(folder.pools, name), trigger, numbers_of)
            case _:
                raise Unknown("there are /v1/pools/{pool}/{trigger}, /livez and /readyz")
    except Unknown as exc:
        return 404, problem(404, str(exc))
    except NumbersUnavailable as exc:
        log.warning("keda.unanswered reason=%s", exc)
        return 503, problem(503, str(exc))


def problem(status: int, detail: str) -> Json:
    """An error as application/problem+json (RFC 9457)."""
    title, code = HTTPStatus(status).phrase, _CODES.get(status, "refused")
    return {"type": "about:blank", "title": title, "status": status, "code": code, "detail": detail}


def _reading(pool: Pool, trigger: str, numbers_of: NumbersOf) -> Json:
    """`replicas` is what a metric per replica asks for, before bounds and tolerance; `why` is with that many."""
    rules = {rule.name: rule for rule in pool.rules}
    if trigger not in rules:
        hint = nearest(trigger, rules) or f"; there are: {', '.join(rules)}"
        raise Unknown(f"the pool {pool.name!r} has no trigger {trigger!r}{hint}")
    numbers = question.ask(numbers_of, pool)
    reading = question.read(rules[trigger], numbers)
    said = {"pool": pool.name, "trigger": trigger, "value": reading.value, "target": reading.target}
    said |= {"active": reading.active}
    if not reading.is_average:
        return said | {"why": reading.why}
    replicas = math.ceil(round(reading.value * 1000) / (round(reading.target * 1000) or 1))  # as scheduler.hpa does
    return said | {"why": question.read(rules[trigger], numbers, replicas).why, "replicas": replicas}


# The standard library's servers are made by inheritance, against the house's rule.
class _ServerV6(ThreadingHTTPServer):
    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    timeout = SLOW_CLIENT_SECONDS
    server_version, sys_version = "millrace", ""

    def __init__(self, folder: Folder, numbers_of: NumbersOf, *args: Any) -> None:
        self._answer = partial(answer, folder, numbers_of)
        super().__init__(*args)

    def do_GET(self) -> None:
        try:
            status, document = self._answer(self.path)
        except Exception:
            log.exception("keda.http_failed path=%s", self.path)
            status, document = 500, problem(500, "this is our mistake; the log says more")
        self._send(status, document)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server refuses by itself; a method that it does not know is 501 there."""
        status = 405 if code == HTTPStatus.NOT_IMPLEMENTED else int(code)
        self._send(status, problem(status, "only GET is answered here" if status == 405 else message or ""))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        log.debug("keda.http %s", format % args)

    def _send(self, status: int, document: Json) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if status < 400 else "application/problem+json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        if status == 405:
            self.send_header("Allow", "GET")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
