"""The checkpoint: up to where the reader has dealt with the journal, and the range it was dealing with.

Naming the range before the work lets a restart repeat exactly the same range under the same name, so that a store that
knows the name already takes none of it twice.
"""

import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from hogline_instance.journal.records import Position

__all__ = ["Checkpoint", "read_checkpoint", "sync_folder", "write_checkpoint"]

_log = logging.getLogger("hogline.instance")
_NAME = "checkpoint.json"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`done`: everything before it is dealt with. `doing`: the end of the range begun after it, or None."""

    done: Position
    doing: Position | None = None


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """Return what was written last, or None where nothing was, or nothing that can be read."""
    try:
        stored = json.loads((folder / _NAME).read_bytes())
        doing = stored.get("doing")
        return Checkpoint(Position(*stored["done"]), Position(*doing) if doing else None)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        # Reading the journal from its beginning costs time and nothing else: events are known by their ids.
        _log.warning("journal: the checkpoint cannot be read (%s); everything in the journal is taken again", error)
        return None


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint; after a power cut there is the old or the new one, never half of one."""
    text = json.dumps({"done": checkpoint.done, "doing": checkpoint.doing})
    fresh = folder / f"{_NAME}.new"
    with fresh.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(folder / _NAME)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Make the names in *folder* survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
