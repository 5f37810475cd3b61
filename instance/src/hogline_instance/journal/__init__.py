"""The journal: what was accepted is on disk before anybody says so, and is read back after a crash.

Append-only segments of checksummed records; many appends share one fsync. Knows no event, no project, no asyncio: a record
is bytes, and who waits for it is told by a callback.
"""

from hogline_instance.journal.journal import Commit, Journal
from hogline_instance.journal.records import Position, Record

__all__ = ["Commit", "Journal", "Position", "Record"]
