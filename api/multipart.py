"""Reads multipart/form-data part by part from the stream: no temporary files, nothing held but the current chunk."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from api.errors import Refused

MAX_PARTS = 8
MAX_AROUND_BYTES = 65_536  # what stands around the parts' contents: headers, boundaries, preamble, epilogue


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One part: read `chunks` to its end before asking for the next."""

    name: str
    filename: str | None
    content_type: str
    chunks: AsyncIterator[bytes]


async def parts(content_type: str, stream: AsyncIterable[bytes]) -> AsyncGenerator[Part, None]:
    """The parts of a body in their order. Raises Refused (400) where the body is malformed or ends too early."""
    _, options = parse_options_header(content_type)
    try:
        parser = PushMultipartParser(options.get("boundary", ""), max_segment_count=MAX_PARTS)
    except MultipartError as exc:
        raise _malformed(exc) from exc
    async with aclosing(_pieces(parser, stream)) as pieces:
        async for piece in pieces:
            if isinstance(piece, MultipartSegment):
                yield Part(
                    name=piece.name,
                    filename=piece.filename,
                    content_type=piece.content_type or "application/octet-stream",
                    chunks=_until_end(pieces),
                )


async def _pieces(
    parser: PushMultipartParser, stream: AsyncIterable[bytes]
) -> AsyncGenerator[MultipartSegment | bytes | None, None]:
    # Not in the parser's strict mode: that one refuses a last line break which comes in a packet of its own.
    around = 0
    try:
        async for chunk in stream:
            if not chunk:
                continue
            around += len(chunk)
            for piece in parser.parse(chunk):
                if isinstance(piece, bytes):
                    around -= len(piece)
                yield piece
            if around > MAX_AROUND_BYTES:
                raise Refused(400, "multipart_malformed", "the body holds too much that belongs to none of its parts")
        parser.close()
    except MultipartError as exc:
        raise _malformed(exc) from exc


async def _until_end(pieces: AsyncIterator[MultipartSegment | bytes | None]) -> AsyncIterator[bytes]:
    async for piece in pieces:
        if piece is None:
            return
        if isinstance(piece, bytes):
            yield piece


def _malformed(exc: MultipartError) -> Refused:
    return Refused(400, "multipart_malformed", f"the body is not complete, valid multipart/form-data: {exc}")
