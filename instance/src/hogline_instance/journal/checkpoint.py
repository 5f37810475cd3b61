"""The checkpoint: the end of the processed part of the journal, and the range in progress.

The range is named before it is processed. A restart then repeats exactly the same range under the
same name, and a store that knows the name inserts nothing twice.
"""

import json
import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hogline_instance.journal.files import replace_file
from hogline_instance.journal.records import Position

__all__ = ["Checkpoint", "read_checkpoint", "read_or_make_id", "write_checkpoint"]

_log = logging.getLogger("hogline.instance")
_NAME = "checkpoint.json"
_ID_NAME = "id"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`done`: everything before it is processed.

    `doing` and `name`: the end and the name of the range in progress after it, or None.
    """

    done: Position
    doing: Position | None = None
    name: str | None = None


def read_checkpoint(folder: Path, sizes: Mapping[int, int]) -> Checkpoint | None:
    """Return the last checkpoint, or None if it is missing, unreadable or outside the segments.

    *sizes* has the bytes of each segment. A position outside them would skip accepted records; a
    copy of the folder that was made while the instance ran can have one.
    """
    try:
        stored = json.loads((folder / _NAME).read_bytes())
        done, doing, name = _position(stored["done"]), stored.get("doing"), stored.get("name")
        checkpoint = Checkpoint(done, _position(doing) if doing else None, name if isinstance(name, str) else None)
        _check(checkpoint, sizes)
        return checkpoint
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        # Reading the journal from its beginning costs only time: events are deduplicated by their
        # ids.
        _log.warning("journal: the checkpoint cannot be read (%s); the whole journal is processed again", error)
        return None


def _position(stored: object) -> Position:
    if not isinstance(stored, list) or len(stored) != 2 or not all(type(part) is int and part >= 0 for part in stored):
        raise ValueError(f"{str(stored)[:100]} is no position")
    return Position(*stored)


def _check(checkpoint: Checkpoint, sizes: Mapping[int, int]) -> None:
    """Raise ValueError unless each position lies in an existing segment, or none is left."""
    for place in (checkpoint.done, checkpoint.doing):
        if place is None or not sizes:
            continue
        if place.segment > max(sizes) or place.offset > sizes.get(place.segment, 0):
            raise ValueError(f"it names byte {place.offset} of segment {place.segment}, which does not exist")
    if checkpoint.doing is not None and checkpoint.doing < checkpoint.done:
        raise ValueError("it ends before it begins")


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint durably."""
    text = json.dumps({"done": checkpoint.done, "doing": checkpoint.doing, "name": checkpoint.name})
    replace_file(folder / _NAME, text.encode())


def read_or_make_id(folder: Path) -> str:
    """Return the journal's unique id, by which the batches of several nodes differ."""
    path = folder / _ID_NAME
    try:
        return str(uuid.UUID(path.read_text().strip()))
    except (FileNotFoundError, ValueError):
        fresh = str(uuid.uuid4())
        replace_file(path, fresh.encode())
        return fresh
