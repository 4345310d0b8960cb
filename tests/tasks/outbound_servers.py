"""Real servers for the outbound guard: raw sockets that answer as told, certificates, and calls to them."""

import asyncio
import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tasks.addresses import Rules
from tasks.outbound import Answer, Asked, FileBody, Outbound, Resolver, Timeouts
from tests.waiting import until


@dataclass(frozen=True, kw_only=True, slots=True)
class Got:
    """One request as it arrived; `connection` counts from 1."""

    line: str
    headers: Mapping[str, str]
    body: bytes
    connection: int


Say = Callable[[socket.socket, Got], None]


@dataclass(kw_only=True, slots=True)
class Raw:
    """A server that reads requests and lets `say` answer; `accepted` counts connections, `ended` closed ones."""

    host: str
    port: int
    say: Say
    got: list[Got] = field(default_factory=list)
    accepted: int = 0
    ended: int = 0
    open: list[socket.socket] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def place(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.place}/"

    def await_got(self, count: int = 1) -> None:
        """Wait until so many requests have arrived."""
        until(lambda: len(self.got) >= count)

    def await_end(self, count: int = 1) -> None:
        """Wait until the client has closed so many connections."""
        until(lambda: self.ended >= count)


def plain(body: bytes = b"ok", *, status: str = "200 OK", headers: Mapping[str, str] | None = None) -> Say:
    """Answers all the same: status, headers, a body with its length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return verbatim("\r\n".join([*lines, "", ""]).encode("latin-1") + body)


def redirect(location: str, status: str = "302 Found") -> Say:
    return plain(b"", status=status, headers={"Location": location})


def first(say: Say, then: Say) -> Say:
    """Answers the first request in one way and all others in another."""
    ways = iter([say])

    def in_turn(connection: socket.socket, got: Got) -> None:
        next(ways, then)(connection, got)

    return in_turn


def verbatim(answer: bytes, *, then_close: bool = False) -> Say:
    """Answers with these very bytes."""

    def say(connection: socket.socket, _got: Got) -> None:
        connection.sendall(answer)
        if then_close:
            connection.shutdown(socket.SHUT_RDWR)

    return say


def endless(start: bytes, piece: bytes) -> Say:
    """Begins so, and goes on with pieces for as long as anybody takes them."""

    def say(connection: socket.socket, _got: Got) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(piece)

    return say


def silent(_connection: socket.socket, _got: Got) -> None:
    """Answers nothing."""


@contextmanager
def raw(say: Say, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[Raw]:
    """Run a server on a free port; at its end every connection is closed."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=1024)
    server = Raw(host=host, port=listener.getsockname()[1], say=say)
    threads: list[threading.Thread] = []

    def accept() -> None:
        while not server.stopping.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            if server.stopping.is_set():
                connection.close()
                return
            server.accepted += 1
            thread = threading.Thread(target=_serve, args=(server, connection, server.accepted, tls), daemon=True)
            threads.append(thread)
            thread.start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield server
    finally:
        server.stopping.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        accepting.join(10)
        listener.close()
        for connection in list(server.open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(10)


def _serve(server: Raw, plain_connection: socket.socket, number: int, tls: ssl.SSLContext | None) -> None:
    connection = plain_connection
    try:
        if tls is not None:
            connection = tls.wrap_socket(plain_connection, server_side=True)
        server.open.append(connection)
        with connection, connection.makefile("rb") as file:
            while got := _request(file, number):
                server.got.append(got)
                server.say(connection, got)
    except OSError:
        plain_connection.close()
    finally:
        server.ended += 1


def _request(file: Any, number: int) -> Got | None:
    line = file.readline().decode().strip()
    if not line:
        return None
    headers = {}
    while header := file.readline().decode().strip():
        name, _, value = header.partition(":")
        headers[name.lower()] = value.strip()
    return Got(line=line, headers=headers, body=file.read(int(headers.get("content-length", 0))), connection=number)


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """An answer and its body."""

    answer: Answer
    body: bytes


LOOPBACK = Rules.parse("127.0.0.0/8,::1")
QUICK = Timeouts(connect=5, read=5, total=20)


def asked(
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | FileBody | None = None,
    timeouts: Timeouts = QUICK,
    redirects: int = 0,
) -> Asked:
    """A request, with what most tests do not care about."""
    return Asked(method=method, url=url, headers=headers or {}, body=body, timeouts=timeouts, redirects=redirects)


async def said(outbound: Outbound, request: Asked, *, most_bytes: int = 1_000_000) -> Said:
    body = bytearray()
    answer = await outbound.exchange(request, lambda _head: body.extend, most_bytes=most_bytes)
    return Said(answer=answer, body=bytes(body))


def call(
    request: Asked,
    *,
    most_bytes: int = 1_000_000,
    rules: Rules = LOOPBACK,
    resolver: Resolver | None = None,
    tls: ssl.SSLContext | None = None,
) -> Said:
    """Exchange on an event loop of its own."""

    async def run() -> Said:
        outbound = Outbound(rules, resolver=resolver, tls=tls)
        try:
            return await said(outbound, request, most_bytes=most_bytes)
        finally:
            await outbound.close()

    return asyncio.run(run())


@dataclass(frozen=True, kw_only=True, slots=True)
class Certified:
    """Both ends of TLS: `server` has the certificate, `client` trusts who made it."""

    server: ssl.SSLContext
    client: ssl.SSLContext


def certified(folder: Path, *hosts: str) -> Certified:
    """Make an authority and a certificate for these names and addresses."""
    authority_key, authority = _certificate("authority", (), None)
    key, certificate = _certificate(hosts[0], hosts, (authority_key, authority))
    pem = folder / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    trusted = authority.public_bytes(serialization.Encoding.PEM).decode()
    return Certified(server=server, client=ssl.create_default_context(cadata=trusted))


Signer = tuple[ec.EllipticCurvePrivateKey, x509.Certificate]


def _certificate(name: str, hosts: Sequence[str], signer: Signer | None) -> Signer:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if signer is None else signer[1].subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
    )
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([_name(host) for host in hosts]), critical=False)
    return key, builder.sign(key if signer is None else signer[0], hashes.SHA256())


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
