"""Batches after their steps, kept on disk until the store has them."""

import hashlib
import json
import logging
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hogline_instance.journal import replace_file

__all__ = ["PreparedBatch", "PreparedBatches"]

_log = logging.getLogger("hogline.instance")
_ENDING = ".batch"
_FORMER_NAME = "prepared-batch"


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


class PreparedBatches:
    """The prepared batches in `prepared/` of the data folder: a file each, named after the batch.

    A file is a header with a checksum, then one row per line.
    """

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "prepared"
        self._folder.mkdir(mode=0o700, exist_ok=True)
        former = data_dir / _FORMER_NAME  # the first versions kept one batch, in the data folder
        if former.exists():
            batch = _read(former)
            if batch is not None:
                self.write(batch)
            former.unlink()

    def write(self, batch: PreparedBatch) -> None:
        """Write *batch* durably, in the place of an earlier one of its name."""
        body = b"\n".join([*batch.lines, *(line for line, _ in batch.rejected)])
        header = {
            "name": batch.name,
            "rows": len(batch.lines),
            "dropped": batch.dropped,
            "reasons": [reason for _, reason in batch.rejected],
            "crc32": zlib.crc32(body),
        }
        replace_file(self._path(batch.name), json.dumps(header).encode(), b"\n", body)

    def read(self, name: str) -> PreparedBatch | None:
        """Return the batch called *name*, or None when there is no undamaged file of it."""
        batch = _read(self._path(name))
        return batch if batch is not None and batch.name == name else None

    def unstored(self, *, but: str | None) -> Iterator[PreparedBatch]:
        """Yield the batches that an earlier process left, but for the one called *but*."""
        for path in sorted(self._folder.glob(f"*{_ENDING}"), key=lambda path: path.stat().st_mtime_ns):
            if but is not None and path == self._path(but):
                continue
            batch = _read(path)
            if batch is not None:
                yield batch
            else:
                _log.error("pipeline: %s is damaged, and its events are not stored", path)

    def remove(self, name: str) -> None:
        """Remove the batch called *name*, which the store has."""
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}{_ENDING}"


def _read(path: Path) -> PreparedBatch | None:
    try:
        first, _, body = path.read_bytes().partition(b"\n")
        header = json.loads(first)
        if header["crc32"] != zlib.crc32(body):
            return None
        lines = body.split(b"\n") if body else []
        count, reasons = header["rows"], header["reasons"]
        rejected = list(zip(lines[count:], reasons, strict=True))
        return PreparedBatch(header["name"], lines[:count], header["dropped"], rejected)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
