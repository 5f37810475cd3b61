"""Decode a body to JSON text, in every compression and wrapping that PostHog's SDKs have used.

Every decoder stops when its output reaches the limit, so that no body needs more memory than that.
URL and headers are only hints: the current browser SDK sends gzip without declaring it.
Source: docs/internals/instance-protocol.md#decoding.
"""

import base64
import binascii
import re
import zlib
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from hogline_instance.ingest import lz64

__all__ = ["BodyError", "BodyTooLargeError", "plain_json"]

_GZIP = b"\x1f\x8b\x08"
_ZSTD = b"\x28\xb5\x2f\xfd"
_UTF8_MARK = b"\xef\xbb\xbf"
_BROTLI_STEP_BYTES = 1 << 20
_ZSTD_WINDOW_BYTES = 1 << 27  # the zstd command's largest window by default
_LZ64_BYTES = 2 << 20  # the limit of PostHog's edge on `/e/`; decompression takes microseconds per byte
_MAX_LAYERS = 4  # content encoding, form, base64, gzip: no client wraps deeper
_JSON_START = re.compile(rb"\s*[{\[]")
_FORM_FIELD = re.compile(rb"(?:^|&)(data|compression)=([^&]*)")


class BodyError(ValueError):
    """The body cannot be decoded; the message says why, for the client."""


class BodyTooLargeError(BodyError):
    """The body is over the limit after decompression."""


def plain_json(body: bytes, *, content_type: str, content_encoding: str, compression: str, max_bytes: int) -> bytes:
    """Return the JSON in *body*, at most *max_bytes*.

    *compression* is the query parameter of that name, in lower case. Raises BodyError: no decoder
    accepts it. Raises BodyTooLargeError: it is too large, before or after decoding.
    """
    encodings = [part.strip().lower() for part in content_encoding.split(",") if part.strip()]
    if len(encodings) > _MAX_LAYERS:
        raise BodyError(f"Content-Encoding names more than {_MAX_LAYERS} encodings")
    for encoding in reversed(encodings):
        body = _decoded(encoding, body, max_bytes)
    hint = compression
    for _ in range(_MAX_LAYERS):
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
        if body[:3] == _GZIP:
            body = _gunzip(body, max_bytes)
        elif body[:4] == _ZSTD:
            body = _unzstd(body, max_bytes)
        elif _JSON_START.match(body):
            return body
        elif body[:3] == _UTF8_MARK:
            body = body[3:]
        elif content_type.startswith("application/x-www-form-urlencoded") or body.startswith(b"data="):
            body, form_hint = _form(body)
            hint, content_type = form_hint or hint, ""
        elif hint in ("lz64", "lz-string", "lz"):
            body, hint = _lz64(body, max_bytes), ""
        elif (unpacked := _base64(body)) is not None:
            body = unpacked
        else:
            break
    if not body.strip():
        raise BodyError("the body is empty")
    raise BodyError("the body is neither JSON nor anything that decodes to it (gzip, base64, a form field 'data')")


def _too_large(max_bytes: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"the body is over {max_bytes} bytes after decompression; send smaller batches")


def _decoded(encoding: str, body: bytes, max_bytes: int) -> bytes:
    known: dict[str, Callable[[bytes, int], bytes]] = {
        "gzip": _gunzip,
        "x-gzip": _gunzip,
        "gzip-js": _gunzip,
        "deflate": _inflate,
        "br": _unbrotli,
        "zstd": _unzstd,
    }
    if encoding == "identity":
        return body
    if encoding not in known:
        raise BodyError(f"Content-Encoding {encoding[:50]!r} is not known; use gzip, deflate, br or zstd")
    try:
        return known[encoding](body, max_bytes)
    except BodyTooLargeError:
        raise
    except BodyError:
        if _stands_alone(body):
            return body  # a proxy decoded it and left the header
        raise


def _stands_alone(body: bytes) -> bool:
    """Return whether the first bytes of *body* identify its format, whatever the headers say."""
    readable = body.removeprefix(_UTF8_MARK)
    return body[:3] == _GZIP or body[:4] == _ZSTD or readable[:5] == b"data=" or _JSON_START.match(readable) is not None


def _gunzip(body: bytes, max_bytes: int) -> bytes:
    return _zlib(body, max_bytes, 31)


def _inflate(body: bytes, max_bytes: int) -> bytes:
    try:
        return _zlib(body, max_bytes, 15)
    except BodyTooLargeError:
        raise
    except BodyError as wrapped:
        if _stands_alone(body):
            raise
        try:
            return _zlib(body, max_bytes, -15)  # some clients send deflate without the zlib header
        except BodyTooLargeError:
            raise
        except BodyError:
            raise wrapped from None


def _zlib(body: bytes, max_bytes: int, window_bits: int) -> bytes:
    engine = zlib.decompressobj(window_bits)
    try:
        plain = engine.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise BodyError(f"the body's compression is broken: {error}") from error
    if len(plain) > max_bytes:
        raise _too_large(max_bytes)
    if not engine.eof:
        raise BodyError("the compressed body is cut off")
    return plain


def _unbrotli(body: bytes, max_bytes: int) -> bytes:
    import brotli  # imported lazily: few clients send it

    engine = brotli.Decompressor()
    parts: list[bytes] = []
    room_bytes = max_bytes + 1
    try:
        fresh = body
        while True:
            part = engine.process(fresh, output_buffer_limit=min(room_bytes, _BROTLI_STEP_BYTES))
            fresh = b""
            parts.append(part)
            room_bytes -= len(part)
            if room_bytes <= 0:
                raise _too_large(max_bytes)
            if engine.is_finished():
                break
            if not part and engine.can_accept_more_data():
                raise BodyError("the compressed body is cut off")
    except brotli.error as error:
        raise BodyError(f"the body's compression is broken: {error}") from error
    return b"".join(parts)


def _unzstd(body: bytes, max_bytes: int) -> bytes:
    import zstandard

    try:
        with zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES).stream_reader(body) as reader:
            plain: bytes = reader.read(max_bytes + 1)
    except zstandard.ZstdError as error:
        raise BodyError(f"the body's compression is broken: {error}") from error
    if len(plain) > max_bytes:
        raise _too_large(max_bytes)
    return plain


def _form(body: bytes) -> tuple[bytes, str]:
    """Return the form's `data`, with only the form encoding removed, and its `compression`."""
    fields = {match[1]: match[2] for match in _FORM_FIELD.finditer(body)}
    data = fields.get(b"data")
    if data is None:
        raise BodyError("the form has no field 'data'")
    hint = unquote_to_bytes(fields.get(b"compression", b"")).decode("latin-1").strip().lower()
    plain = unquote_to_bytes(data)
    # In JSON a plus is an encoded space; in base64 it is a digit that the client should have
    # percent-encoded.
    if _JSON_START.match(plain):
        plain = unquote_to_bytes(data.replace(b"+", b" "))
    return plain, hint


def _base64(body: bytes) -> bytes | None:
    digits = body.strip().replace(b" ", b"+").replace(b"-", b"+").replace(b"_", b"/").rstrip(b"=")
    try:
        return base64.b64decode(digits + b"=" * (-len(digits) % 4), validate=True) or None
    except (binascii.Error, ValueError):
        return None


def _lz64(body: bytes, max_bytes: int) -> bytes:
    if len(body) > _LZ64_BYTES:
        raise BodyTooLargeError(f"a body in lz-string's base64 is over {_LZ64_BYTES} bytes; use gzip")
    try:
        plain = lz64.decompress(body.decode("ascii").strip(), max_bytes).encode()
    except (lz64.BrokenLzError, UnicodeDecodeError) as error:
        raise BodyError(f"the body is not lz-string's base64: {error}") from error
    except lz64.OversizeLzError as error:
        raise _too_large(max_bytes) from error
    if len(plain) > max_bytes:
        raise _too_large(max_bytes)
    return plain
