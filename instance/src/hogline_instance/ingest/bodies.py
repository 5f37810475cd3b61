"""Bytes of a body to JSON text: every compression and wrapping that PostHog's SDKs have used.

The URL and the headers are hints: the current browser SDK sends gzip and says nothing of it.
Source: docs/internals/instance-protocol.md#decoding.
"""

import base64
import binascii
import zlib
from collections.abc import Callable
from urllib.parse import parse_qs, unquote_to_bytes

__all__ = ["BodyError", "BodyTooLargeError", "plain_json"]

_GZIP = b"\x1f\x8b\x08"
_ZSTD = b"\x28\xb5\x2f\xfd"
_JSON_STARTS = b"{["
_MAX_LAYERS = 4  # content encoding, form, base64, gzip: no client wraps deeper


class BodyError(ValueError):
    """The body cannot be decoded; the message says why, for the client."""


class BodyTooLargeError(BodyError):
    """The body is over the limit after decompression."""


def plain_json(body: bytes, *, content_type: str, content_encoding: str, compression: str, max_bytes: int) -> bytes:
    """Return the JSON in *body*, at most *max_bytes*.

    *compression* is the query parameter of that name, in lower case.
    Raises BodyError: nothing decodes it.  Raises BodyTooLargeError: it is, or becomes, too large.
    """
    for encoding in reversed([part.strip().lower() for part in content_encoding.split(",") if part.strip()]):
        body = _decoded(encoding, body, max_bytes)
    hint = compression
    for _ in range(_MAX_LAYERS):
        if len(body) > max_bytes:
            raise BodyTooLargeError(f"the body is over {max_bytes} bytes after decompression")
        if body[:3] == _GZIP:
            body = _gunzip(body, max_bytes)
        elif body[:4] == _ZSTD:
            body = _unzstd(body, max_bytes)
        elif body.lstrip()[:1] and body.lstrip()[:1] in _JSON_STARTS:
            return body
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
    if encoding in ("gzip", "x-gzip", "gzip-js") and body[:2] != _GZIP[:2]:
        return body  # a proxy undid it and left the header
    return known[encoding](body, max_bytes)


def _gunzip(body: bytes, max_bytes: int) -> bytes:
    return _zlib(body, max_bytes, 31)


def _inflate(body: bytes, max_bytes: int) -> bytes:
    try:
        return _zlib(body, max_bytes, 15)
    except BodyTooLargeError:
        raise
    except BodyError:
        return _zlib(body, max_bytes, -15)  # some clients send deflate without its wrapper


def _zlib(body: bytes, max_bytes: int, window_bits: int) -> bytes:
    engine = zlib.decompressobj(window_bits)
    try:
        plain = engine.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise BodyError(f"the body's compression is broken: {error}") from error
    if len(plain) > max_bytes:
        raise BodyTooLargeError(f"the body is over {max_bytes} bytes after decompression")
    if not engine.eof:
        raise BodyError("the compressed body is cut off")
    return plain


def _unbrotli(body: bytes, max_bytes: int) -> bytes:
    import brotli  # rare: only who sends it pays for the import

    engine = brotli.Decompressor()
    plain = bytearray()
    try:
        for begin in range(0, len(body), 4096):
            plain += engine.process(body[begin : begin + 4096])
            if len(plain) > max_bytes:
                raise BodyTooLargeError(f"the body is over {max_bytes} bytes after decompression")
    except brotli.error as error:
        raise BodyError(f"the body's compression is broken: {error}") from error
    return bytes(plain)


def _unzstd(body: bytes, max_bytes: int) -> bytes:
    import zstandard

    try:
        with zstandard.ZstdDecompressor(max_window_size=2**27).stream_reader(body) as reader:
            plain: bytes = reader.read(max_bytes + 1)
    except zstandard.ZstdError as error:
        raise BodyError(f"the body's compression is broken: {error}") from error
    if len(plain) > max_bytes:
        raise BodyTooLargeError(f"the body is over {max_bytes} bytes after decompression")
    return plain


def _form(body: bytes) -> tuple[bytes, str]:
    """Return the form's `data`, undecoded beyond the form, and its `compression`."""
    fields = dict(part.split(b"=", 1) for part in body.split(b"&") if b"=" in part)
    data = fields.get(b"data")
    if data is None:
        raise BodyError("the form has no field 'data'")
    hint = parse_qs(b"compression=" + fields.get(b"compression", b"")).get(b"compression", [b""])[0]
    plain = unquote_to_bytes(data)
    # In JSON a plus is an encoded blank; in base64 it is a digit that a careless client did not encode.
    if plain.lstrip()[:1] and plain.lstrip()[:1] in _JSON_STARTS:
        plain = unquote_to_bytes(data.replace(b"+", b" "))
    return plain, hint.decode("latin-1").lower()


def _base64(body: bytes) -> bytes | None:
    digits = body.strip().replace(b" ", b"+").replace(b"-", b"+").replace(b"_", b"/").rstrip(b"=")
    try:
        return base64.b64decode(digits + b"=" * (-len(digits) % 4), validate=True) or None
    except (binascii.Error, ValueError):
        return None


def _lz64(body: bytes, max_bytes: int) -> bytes:
    from lzstring import LZString

    try:
        text = LZString().decompressFromBase64(body.decode("ascii").replace(" ", "+"))
    except Exception as error:  # the library raises whatever its indices run into
        raise BodyError("the body is not lz-string's base64") from error
    plain = (text or "").encode("utf-8", "replace")
    if len(plain) > max_bytes:
        raise BodyTooLargeError(f"the body is over {max_bytes} bytes after decompression")
    return plain
