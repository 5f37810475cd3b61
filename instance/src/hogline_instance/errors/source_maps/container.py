"""The container in which a minified script and its map are uploaded. Pure.

Source: docs/internals/management-api.md#symbol-sets-and-source-maps.
"""

import io
import struct

import zstandard

__all__ = ["MAX_CONTAINER_BYTES", "ContainerError", "pack", "unpack"]

MAX_CONTAINER_BYTES = 100 * 1024 * 1024
_MAX_UNPACKED_BYTES = 256 * 1024 * 1024
_MAGIC = b"posthog_error_tracking"
_SOURCE_AND_MAP = 2
_HEADER = struct.Struct("<II")
_LENGTH = struct.Struct("<Q")
_NONE, _ZSTD = 0, 1


class ContainerError(ValueError):
    """The bytes are no container of a script and its map; the text says why."""


def pack(source: bytes, source_map: bytes) -> bytes:
    """Return a container of version 2, compressed with zstd."""
    payload = _LENGTH.pack(len(source)) + source + _LENGTH.pack(len(source_map)) + source_map
    head = _MAGIC + _HEADER.pack(2, _SOURCE_AND_MAP) + bytes([_ZSTD])
    return head + zstandard.ZstdCompressor().compress(payload)


def unpack(data: bytes) -> tuple[bytes, bytes]:
    """Return the minified script and the map. Raises ContainerError."""
    start = len(_MAGIC) + _HEADER.size
    if not data.startswith(_MAGIC) or len(data) < start:
        raise ContainerError("the file does not begin as a symbol set does")
    version, kind = _HEADER.unpack_from(data, len(_MAGIC))
    if version not in {1, 2}:
        raise ContainerError(f"version {version} of the container is unknown")
    if kind != _SOURCE_AND_MAP:
        raise ContainerError(f"symbol sets of type {kind} are not read; only scripts with source maps (2) are")
    payload = data[start:] if version == 1 else _decompressed(data[start:])
    source, rest = _piece(payload, 0, "script")
    source_map, _ = _piece(payload, rest, "map")
    return source, source_map


def _decompressed(data: bytes) -> bytes:
    if not data:
        raise ContainerError("the container ends before its payload")
    if data[0] == _NONE:
        return data[1:]
    if data[0] != _ZSTD:
        raise ContainerError(f"compression {data[0]} is unknown")
    try:
        with zstandard.ZstdDecompressor(max_window_size=128 * 1024 * 1024).stream_reader(
            io.BytesIO(data[1:])
        ) as reader:
            unpacked: bytes = reader.read(_MAX_UNPACKED_BYTES + 1)
    except zstandard.ZstdError as error:
        raise ContainerError(f"the payload cannot be decompressed: {error}") from error
    if len(unpacked) > _MAX_UNPACKED_BYTES:
        raise ContainerError(f"the payload has more than {_MAX_UNPACKED_BYTES} bytes after decompression")
    return unpacked


def _piece(payload: bytes, start: int, what: str) -> tuple[bytes, int]:
    if len(payload) < start + _LENGTH.size:
        raise ContainerError(f"the container ends before the length of its {what}")
    (length,) = _LENGTH.unpack_from(payload, start)
    begin = start + _LENGTH.size
    if length > len(payload) - begin:
        raise ContainerError(f"the {what} should have {length} bytes, but the container ends before")
    return payload[begin : begin + length], begin + length
