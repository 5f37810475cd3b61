"""The rows of a batch after its steps, kept on disk until the store has them."""

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hogline_instance.journal import replace_file

__all__ = ["PreparedBatch", "read_prepared", "write_prepared"]

_NAME = "prepared-batch"


@dataclass(frozen=True, slots=True)
class PreparedBatch:
    """A batch after its steps: rows to store, counts of dropped rows, and rejected rows."""

    name: str
    lines: Sequence[bytes]
    dropped: dict[str, int]
    rejected: Sequence[tuple[bytes, str]]

    def joined_with(self, other: "PreparedBatch") -> "PreparedBatch":
        """Return this batch with *other*, its second half, appended."""
        dropped = dict(self.dropped)
        for reason, count in other.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + count
        return PreparedBatch(self.name, [*self.lines, *other.lines], dropped, [*self.rejected, *other.rejected])


def write_prepared(folder: Path, batch: PreparedBatch) -> None:
    """Replace the batch in *folder* by *batch*, durably.

    The file is a header with a checksum, then one row per line.
    """
    body = b"\n".join([*batch.lines, *(line for line, _ in batch.rejected)])
    header = {
        "name": batch.name,
        "rows": len(batch.lines),
        "dropped": batch.dropped,
        "reasons": [reason for _, reason in batch.rejected],
        "crc32": zlib.crc32(body),
    }
    replace_file(folder / _NAME, json.dumps(header).encode() + b"\n" + body)


def read_prepared(folder: Path, name: str) -> PreparedBatch | None:
    """Return the batch called *name*, or None when *folder* has no undamaged batch of that name."""
    try:
        first, _, body = (folder / _NAME).read_bytes().partition(b"\n")
        header = json.loads(first)
        if header["name"] != name or header["crc32"] != zlib.crc32(body):
            return None
        lines = body.split(b"\n") if body else []
        count, reasons = header["rows"], header["reasons"]
        return PreparedBatch(name, lines[:count], header["dropped"], list(zip(lines[count:], reasons, strict=True)))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
