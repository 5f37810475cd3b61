"""Delivery: queue, worker, batches, retries and ledger.

The queue is bounded, the worker is one thread, and the ledger counts what became of each event.

Only this package has threads, waits and sockets. It knows no context and no request; an event here
is its final bytes.
"""

from hogline.delivery.delivery import Delivery
from hogline.delivery.ledger import Ledger, Stats

__all__ = ["Delivery", "Ledger", "Stats"]
