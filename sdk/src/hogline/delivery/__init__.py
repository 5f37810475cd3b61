"""Delivery: a bounded queue, one worker thread, batches, retries, and a ledger of what became of each event.

The only room with threads, waits and sockets. It knows no context and no request; an event here is its final bytes.
"""

from hogline.delivery.delivery import Delivery
from hogline.delivery.ledger import Ledger, Stats

__all__ = ["Delivery", "Ledger", "Stats"]
