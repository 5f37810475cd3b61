"""Segments of records on disk, by number.

The format of a record is `hogline.wire.records`, which the SDK's spool uses too.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hogline.wire.records import HEADER_BYTES, frame, scan

__all__ = ["HEADER_BYTES", "Damage", "Position", "Record", "frame", "read_segment", "segment_number", "segment_path"]

_NAME = re.compile(r"(\d{12})\.journal")


class Position(NamedTuple):
    """A position between records: the segment's number and the byte offset in it."""

    segment: int
    offset: int


class Record(NamedTuple):
    """A record's payload, and the position after the record."""

    payload: bytes
    end: Position


class Damage(NamedTuple):
    """Bytes of a segment that are not a record."""

    segment: int
    offset: int
    size_bytes: int


def segment_path(folder: Path, number: int) -> Path:
    """Return the file of segment *number*."""
    return folder / f"{number:012d}.journal"


def segment_number(path: Path) -> int | None:
    """Return the number in a segment's file name, or None for any other file."""
    match = _NAME.fullmatch(path.name)
    return int(match[1]) if match else None


def read_segment(path: Path, number: int, offset: int) -> Iterator[Record | Damage]:
    """Yield the records after *offset*.

    Bytes that are not a record are yielded as damage, and skipped.
    """
    data = path.read_bytes()
    for begin, end, whole in scan(data, offset):
        if whole:
            yield Record(data[begin + HEADER_BYTES : end], Position(number, end))
        else:
            yield Damage(number, begin, end - begin)
