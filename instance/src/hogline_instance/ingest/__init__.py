"""Turn a request of any PostHog SDK into admitted events: check size and key, decode, set the time.

This is raw ASGI, since it serves thousands of requests a second. It knows the protocol and no
feature: features pass the other paths that SDKs call as `Endpoint`s.
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
