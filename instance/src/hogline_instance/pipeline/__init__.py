"""From the journal to the store: one thread batches, inserts, moves the checkpoint, and publishes to the live bus.

A record holds the rows that ingest admitted, one JSON object on each line. It knows no HTTP and no feature.
"""

from hogline_instance.pipeline.bus import LiveBus, Subscription
from hogline_instance.pipeline.pipeline import Pipeline

__all__ = ["LiveBus", "Pipeline", "Subscription"]
