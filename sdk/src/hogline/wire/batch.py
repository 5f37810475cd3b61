"""The body of a `/batch/` request.

It joins the bytes of serialised events and never parses them.
"""

import zlib
from collections.abc import Sequence

import orjson

__all__ = ["AI_BATCH_PATH", "BATCH_PATH", "compress", "encode"]

BATCH_PATH = "/batch/"
AI_BATCH_PATH = "/i/v0/ai/batch/"
# Level 1 takes a third of the time of level 6. It shrinks a batch to a fifth, level 6 to a sixth.
_COMPRESSION_LEVEL = 1
_GZIP_WINDOW_BITS = 31  # 15 bits of window, with a gzip header


def encode(events: Sequence[bytes], project_token: str, sent_at: str, *, historical_migration: bool) -> bytes:
    """Return the v0 body for *events*, each one JSON object, oldest first.

    Source: docs/internals/capture-protocol.md#the-v0-request.
    """
    head = b'{"api_key":%b,"historical_migration":%b,"sent_at":%b,"batch":[' % (
        orjson.dumps(project_token),
        b"true" if historical_migration else b"false",
        orjson.dumps(sent_at),
    )
    pieces = [b","] * (2 * len(events))
    pieces[1::2] = events
    pieces[:1] = [head]
    pieces.append(b"]}")
    # All in one join: each further copy of a large batch is new memory, page by page.
    return b"".join(pieces)


def compress(body: bytes, encoding: str = "gzip") -> bytes:
    """Return *body* in the content *encoding* "gzip", "deflate" or "zstd".

    "deflate" is RFC 1950, with zlib's header.

    Raises LookupError: there is no such encoding here.
    """
    if encoding == "gzip":
        return zlib.compress(body, level=_COMPRESSION_LEVEL, wbits=_GZIP_WINDOW_BITS)
    if encoding == "deflate":
        return zlib.compress(body, level=_COMPRESSION_LEVEL)
    if encoding == "zstd":
        from hogline.zstd import zstd_compressor  # imported lazily: most programs never need it

        if (zstd := zstd_compressor()) is not None:
            return zstd(body)
    raise LookupError(f"no compressor for {encoding!r}")
