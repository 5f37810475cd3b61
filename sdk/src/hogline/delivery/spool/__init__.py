"""The spool: events that wait on disk.

They survive the process, and another process sends what a dead one left.

Imported only with `spool_dir`. It knows events as bytes, and no server.
"""

from hogline.delivery.spool.spool import Spool

__all__ = ["Spool"]
