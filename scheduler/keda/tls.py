"""The server's certificate, and whose clients it trusts."""

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from scheduler.errors import ConfigurationError

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Files:
    """PEM files: the certificate with its chain, its key, and (None: any client may come) who signs clients'."""

    cert: Path
    key: Path
    ca: Path | None = None


def credentials(files: Files) -> grpc.ServerCredentials:
    """Read at each new connection, so that a renewed certificate needs no restart. Raises ConfigurationError."""
    kept = [_read(files)]

    def renew() -> grpc.ServerCertificateConfiguration:
        try:
            kept[0] = _read(files)
        except ConfigurationError as exc:
            log.error("keda.certificate_refused reason=%s", exc)
        return kept[0]

    return grpc.dynamic_ssl_server_credentials(kept[0], renew, files.ca is not None)


def _read(files: Files) -> grpc.ServerCertificateConfiguration:
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(files.cert, files.key)
        if files.ca:
            context.load_verify_locations(files.ca)
        pair = (files.key.read_bytes(), files.cert.read_bytes())
        return grpc.ssl_server_certificate_configuration([pair], files.ca.read_bytes() if files.ca else None)
    except OSError as exc:  # ssl.SSLError is one
        named = f"--tls-cert {files.cert}, --tls-key {files.key}" + (f", --tls-ca {files.ca}" if files.ca else "")
        raise ConfigurationError(f"these are no certificate and key that belong together ({named}): {exc}") from exc
