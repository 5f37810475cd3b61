"""From the journal to the store: one thread batches, runs the features' steps, inserts, and publishes to the live bus.

A record holds the rows that ingest admitted, one JSON object on each line. It knows no HTTP and no feature.
"""

from hogline_instance.pipeline.bus import LiveBus, Subscription
from hogline_instance.pipeline.pipeline import Pipeline
from hogline_instance.pipeline.steps import Batch, Step, StepRunner

__all__ = ["Batch", "LiveBus", "Pipeline", "Step", "StepRunner", "Subscription"]
