"""The spool: events that wait on disk. What was accepted survives the process, and what a dead process left is sent by another.

Imported only where `spool_dir` is set. Knows events as bytes, and no server.
"""

from hogline.delivery.spool.spool import Spool

__all__ = ["Spool"]
