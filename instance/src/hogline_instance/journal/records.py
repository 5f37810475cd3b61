"""Records on disk: a header of magic, length and checksum, then the payload. A torn or corrupt one ends what can be read."""

import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["HEADER_BYTES", "Damage", "Position", "Record", "frame", "read_segment", "segment_number", "segment_path"]

_HEADER = struct.Struct("<2sII")  # magic, payload length, CRC-32 of the payload
_MAGIC = b"HJ"
HEADER_BYTES = _HEADER.size
_NAME = re.compile(r"(\d{12})\.journal")


class Position(NamedTuple):
    """A place between records: the segment's number and the byte in it."""

    segment: int
    offset: int


class Record(NamedTuple):
    """One payload, and the place after it."""

    payload: bytes
    end: Position


class Damage(NamedTuple):
    """Bytes of a segment that hold no record."""

    segment: int
    offset: int
    size_bytes: int


def frame(payload: bytes) -> bytes:
    """Return the record's bytes."""
    return _HEADER.pack(_MAGIC, len(payload), zlib.crc32(payload)) + payload


def segment_path(folder: Path, number: int) -> Path:
    """Return the file of segment *number*."""
    return folder / f"{number:012d}.journal"


def segment_number(path: Path) -> int | None:
    """Return the number in a segment's file name, or None for any other file."""
    match = _NAME.fullmatch(path.name)
    return int(match[1]) if match else None


def read_segment(path: Path, number: int, offset: int) -> Iterator[Record | Damage]:
    """Yield the records from *offset* on; a stretch that holds none is yielded as damage, and reading goes on behind it."""
    data = path.read_bytes()
    while offset < len(data):
        end = _record_end(data, offset)
        if end is not None:
            yield Record(data[offset + HEADER_BYTES : end], Position(number, end))
            offset = end
            continue
        begin = offset
        # Look for the next header whose checksum is right; a torn tail has none.
        offset = data.find(_MAGIC, begin + 1)
        while offset != -1 and _record_end(data, offset) is None:
            offset = data.find(_MAGIC, offset + 1)
        offset = len(data) if offset == -1 else offset
        yield Damage(number, begin, offset - begin)


def _record_end(data: bytes, offset: int) -> int | None:
    begin = offset + HEADER_BYTES
    if begin > len(data):
        return None
    magic, size, checksum = _HEADER.unpack_from(data, offset)
    end = begin + size
    if magic != _MAGIC or end > len(data) or zlib.crc32(data[begin:end]) != checksum:
        return None
    return int(end)
