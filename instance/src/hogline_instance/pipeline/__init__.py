"""From the journal to the store: one thread batches, inserts, moves the checkpoint, and tells live readers.

A record is what ingest admitted: rows of the events table, one JSON object each line. Nothing here parses HTTP.
"""

from hogline_instance.pipeline.pipeline import Pipeline

__all__ = ["Pipeline"]
