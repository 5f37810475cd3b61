"""From a request of any PostHog SDK to admitted events: size, key, decoding, time. Fast, and no thinking beyond that.

Raw ASGI: this path answers thousands of requests a second. Everything that is not ingestion goes to the other app.
"""

from hogline_instance.ingest.app import IngestApp, acknowledge

__all__ = ["IngestApp", "acknowledge"]
