"""The gRPC server around the service."""

import asyncio

import grpc
import grpc.aio

from scheduler.errors import ConfigurationError
from scheduler.keda.externalscaler_pb2_grpc import add_ExternalScalerServicer_to_server
from scheduler.keda.service import Service

GRACE_SECONDS = 5.0  # for calls that are being answered when the server stops
MAX_CALLS = 2000  # open at a time, streams among them; more are refused with RESOURCE_EXHAUSTED
_OPTIONS = (
    ("grpc.so_reuseport", 0),  # else a second server takes the port too, and gets some of the calls
    ("grpc.max_receive_message_length", 65_536),
    ("grpc.keepalive_time_ms", 30_000),  # else the streams of a client that vanished stay for ever
    ("grpc.keepalive_timeout_ms", 10_000),
)


class Server:
    """Holds the port, and the task that looks after the pools' files."""

    def __init__(self, service: Service, address: str, credentials: grpc.ServerCredentials | None = None) -> None:
        """`address` is HOST:PORT; port 0: any that is free."""
        self._service, self._address, self._credentials = service, address, credentials

    async def start(self) -> int:
        """Serve; returns the port. Raises ConfigurationError if it cannot be had."""
        self._server = grpc.aio.server(options=_OPTIONS, maximum_concurrent_rpcs=MAX_CALLS)
        add_ExternalScalerServicer_to_server(self._service, self._server)  # type: ignore[no-untyped-call]  # generated
        try:
            if self._credentials is None:
                port = self._server.add_insecure_port(self._address)
            else:
                port = self._server.add_secure_port(self._address, self._credentials)
        except RuntimeError as exc:
            raise ConfigurationError(f"--listen: {self._address} cannot be had: {exc}") from exc
        await self._server.start()
        self._watching = asyncio.create_task(self._service.watch())
        return port

    async def stop(self) -> None:
        """Take no more calls, end the streams, answer what is under way within GRACE_SECONDS."""
        self._service.stop()
        await self._server.stop(GRACE_SECONDS)
        await self._watching
