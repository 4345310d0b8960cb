"""One request and its answer on one connection, in HTTP/1.1."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass

import httpcore2

from tasks.errors import OutboundFailed, OutboundTooLarge
from tasks.outbound_bodies import received, sent, size_of, too_large
from tasks.outbound_model import Head, Receive, Timeouts
from tasks.outbound_request import Request, wire_headers

HEADER_BYTES = 64 * 1024  # of all header lines; httpcore2 stops reading lines without an end after 100 KiB
UNWANTED_BYTES = 16 * 1024  # of a body that nobody wants: as much is read so that the connection can be used again
UNWANTED_SECONDS = 1.0
TURN_SECONDS = 0.001  # of the event loop, for a body that comes in many small pieces: one read can have 10,000


@dataclass(frozen=True, kw_only=True, slots=True)
class Begun:
    """An answer whose body has not been read yet."""

    request: Request
    head: Head
    response: httpcore2.Response


async def begin(connection: httpcore2.AsyncHTTP11Connection, request: Request, timeouts: Timeouts) -> Begun:
    """Send the request and read the head of the answer.

    Raises OutboundTooLarge, OutboundFailed (timed_out, connection_lost, protocol_error), and OSError for a FileBody.
    """
    with _translated(request.target.host):
        response = await connection.handle_async_request(_wire(request, timeouts))
    # Headers of the same name are one, with commas (RFC 9110, section 5.2).
    headers: dict[str, str] = {}
    for raw_name, raw_value in response.headers:
        name, value = raw_name.decode("ascii").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if sum(len(name) + len(value) + 4 for name, value in response.headers) > HEADER_BYTES:
        raise _too_long(request.target.host)
    return Begun(
        request=request, head=Head(status=response.status, headers=headers, url=request.target.url), response=response
    )


async def finish(begun: Begun, receive: Receive, most_bytes: int) -> int:
    """Give the body to whoever wants it; returns its bytes, unpacked. Raises what `begin` raises, and the receiver."""
    host, head = begun.request.target.host, begun.head
    try:
        write = receive(head)
        if write is None:
            await _pass_over(begun)
            return 0
        if _length(begun) > most_bytes:
            raise too_large(host, most_bytes)
        size = 0
        encoding = head.headers.get("content-encoding", "")
        async with (
            aclosing(_chunks(begun)) as chunks,
            aclosing(received(chunks, encoding, host=host, most_bytes=most_bytes)) as pieces,
        ):
            async for piece in pieces:
                write(piece)
                size += len(piece)
        return size
    finally:
        await begun.response.aclose()


def _wire(request: Request, timeouts: Timeouts) -> httpcore2.Request:
    target = request.target
    return httpcore2.Request(
        request.method,
        httpcore2.URL(
            scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.path.encode()
        ),
        headers=wire_headers(request, None if request.body is None else size_of(request.body)),
        content=None if request.body is None else sent(request.body),
        extensions={"timeout": {"read": timeouts.read, "write": timeouts.read}},
    )


async def _chunks(begun: Begun) -> AsyncGenerator[bytes]:
    """The body as it comes; the exchanges of others have their turns in between."""
    loop = asyncio.get_running_loop()
    turn = loop.time()
    with _translated(begun.request.target.host):
        async with aclosing(begun.response.aiter_stream()) as chunks:
            async for chunk in chunks:
                yield chunk
                if loop.time() - turn > TURN_SECONDS:
                    await asyncio.sleep(0)
                    turn = loop.time()


async def _pass_over(begun: Begun) -> None:
    """Read a short body that nobody wants; a longer or slower one costs the connection."""
    if _length(begun) > UNWANTED_BYTES:
        return
    with suppress(TimeoutError, OutboundFailed):
        async with asyncio.timeout(UNWANTED_SECONDS), aclosing(_chunks(begun)) as chunks:
            read = 0
            async for chunk in chunks:
                read += len(chunk)
                if read > UNWANTED_BYTES:
                    return


def _length(begun: Begun) -> int:
    """What the answer says of its body's bytes; 0 where it says nothing, or has none."""
    said = begun.head.headers.get("content-length", "")
    has_body = begun.request.method != "HEAD" and begun.head.status not in (204, 304)
    return int(said) if has_body and said.isdigit() else 0


@contextmanager
def _translated(host: str) -> Iterator[None]:
    """What httpcore2 raises becomes ours."""
    try:
        yield
    except httpcore2.TimeoutException as exc:
        raise OutboundFailed("timed_out", f"{host} was silent for too long") from exc
    except httpcore2.NetworkError as exc:
        raise OutboundFailed("connection_lost", f"the connection to {host} was lost") from exc
    except httpcore2.RemoteProtocolError as exc:
        if getattr(exc.__cause__, "error_status_hint", None) == 431:  # so h11 says that lines do not end
            raise _too_long(host) from exc
        if "disconnected" in str(exc) or "closed connection" in str(exc):
            raise OutboundFailed("connection_lost", f"{host} closed the connection before the answer's end") from exc
        raise OutboundFailed("protocol_error", f"{host} does not answer in HTTP/1.1") from exc
    except httpcore2.LocalProtocolError as exc:
        raise OutboundFailed("protocol_error", f"what is sent to {host} is not as long as it was") from exc


def _too_long(host: str) -> OutboundTooLarge:
    return OutboundTooLarge(f"{host} answers with headers of more than {HEADER_BYTES // 1024} KiB")
