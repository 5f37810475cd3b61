"""From a request of any PostHog SDK to admitted events: size, key, decoding, time.

Fast, and nothing beyond that.

Raw ASGI, since this path answers thousands of requests a second. It knows the protocol and no
feature: other paths that SDKs call come as `Endpoint`s.
"""

from hogline_instance.ingest.app import IngestApp
from hogline_instance.ingest.endpoints import Endpoint
from hogline_instance.ingest.http import HttpError, Request, Response, error_response, json_response
from hogline_instance.ingest.writer import JournalWriter, acknowledge

__all__ = [
    "Endpoint",
    "HttpError",
    "IngestApp",
    "JournalWriter",
    "Request",
    "Response",
    "acknowledge",
    "error_response",
    "json_response",
]
