"""The checkpoint: up to where the reader has processed the journal, and the range that it was processing.

Naming the range before the work lets a restart repeat exactly the same range under the same name,
so that a store which knows the name already takes none of it twice.
"""

import json
import logging
import uuid
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

    `doing`: the end of the range begun after it, or None, and its `name`.
    """

    done: Position
    doing: Position | None = None
    name: str | None = None


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """Return the checkpoint that was written last, or None where there is none that can be read."""
    try:
        stored = json.loads((folder / _NAME).read_bytes())
        doing = stored.get("doing")
        return Checkpoint(Position(*stored["done"]), Position(*doing) if doing else None, stored.get("name"))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        # Reading the journal from its beginning costs only time, since events are known by their
        # ids.
        _log.warning("journal: the checkpoint cannot be read (%s); everything in the journal is taken again", error)
        return None


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint durably."""
    text = json.dumps({"done": checkpoint.done, "doing": checkpoint.doing, "name": checkpoint.name})
    replace_file(folder / _NAME, text.encode())


def read_or_make_id(folder: Path) -> str:
    """Return the journal's id, which no other journal has: batches of several nodes meet in one store."""
    path = folder / _ID_NAME
    try:
        return str(uuid.UUID(path.read_text().strip()))
    except (FileNotFoundError, ValueError):
        fresh = str(uuid.uuid4())
        replace_file(path, fresh.encode())
        return fresh
