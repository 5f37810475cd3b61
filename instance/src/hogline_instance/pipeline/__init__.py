"""From the journal to the store: batches, the features' steps, the insert, and the live bus.

A record holds the rows that ingest admitted, one JSON object per line. This package knows no HTTP
and no feature.
"""

from hogline_instance.pipeline.bus import LiveBus, Subscription
from hogline_instance.pipeline.pipeline import Pipeline
from hogline_instance.pipeline.steps import Batch, Step, StepRunner

__all__ = ["Batch", "LiveBus", "Pipeline", "Step", "StepRunner", "Subscription"]
