"""The journal: requests are on disk before they are acknowledged, and survive a crash.

Append-only segments of checksummed records; many appends share one fsync. It knows no
event, project or asyncio: a record is bytes, and a callback receives the waiters of the records
that were written.
"""

from hogline_instance.journal.files import replace_file
from hogline_instance.journal.journal import Commit, Journal
from hogline_instance.journal.records import Position, Record

__all__ = ["Commit", "Journal", "Position", "Record", "replace_file"]
