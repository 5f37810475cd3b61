"""Records of an append-only file: a header of magic, length and checksum, then the payload.

The functions are pure: they turn bytes into places in them.

The SDK's spool and the instance's journal are made of these. A torn or corrupt stretch ends
nothing: reading goes on at the next header whose checksum is right.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["HEADER_BYTES", "Stretch", "frame", "scan"]

_HEADER = struct.Struct("<2sII")  # magic, payload length, CRC-32 of the payload
_MAGIC = b"HJ"
HEADER_BYTES = _HEADER.size
_pack = _HEADER.pack
_crc32 = zlib.crc32


class Stretch(NamedTuple):
    """Bytes `begin` to `end` of a file.

    They are one whole record with its header, or damage that holds none.
    """

    begin: int
    end: int
    whole: bool


def frame(payload: bytes) -> bytes:
    """Return the record's bytes."""
    return _pack(_MAGIC, len(payload), _crc32(payload)) + payload


def scan(data: bytes, offset: int = 0) -> Iterator[Stretch]:
    """Yield what *data* holds from *offset* on, without a gap.

    Records come in order, with the damage between and behind them.
    """
    while offset < len(data):
        end = _record_end(data, offset)
        if end is not None:
            yield Stretch(offset, end, whole=True)
            offset = end
            continue
        begin = offset
        # Look for the next header whose checksum is right; a torn tail has none.
        offset = data.find(_MAGIC, begin + 1)
        while offset != -1 and _record_end(data, offset) is None:
            offset = data.find(_MAGIC, offset + 1)
        offset = len(data) if offset == -1 else offset
        yield Stretch(begin, offset, whole=False)


def _record_end(data: bytes, offset: int) -> int | None:
    begin = offset + HEADER_BYTES
    if begin > len(data):
        return None
    magic, size, checksum = _HEADER.unpack_from(data, offset)
    end = begin + size
    if magic != _MAGIC or end > len(data) or _crc32(data[begin:end]) != checksum:
        return None
    return int(end)
