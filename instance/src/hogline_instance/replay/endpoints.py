"""`/s/`, the endpoint to which the recorder of posthog-js posts."""

import re

from hogline_instance.ingest import Endpoint, Request, Response

__all__ = ["browser_config", "build_endpoints"]

_RECORDINGS = re.compile(r"/s")


def browser_config(_settings: object) -> dict[str, object]:
    """Return replay's part of posthog-js's config: recordings are off."""
    return {"sessionRecording": False}


def build_endpoints(_services: object) -> tuple[Endpoint, ...]:
    """Return the recorder's endpoint."""
    return (Endpoint(_RECORDINGS, _accept),)


async def _accept(_request: Request, _match: re.Match[str]) -> Response:
    # Respond with success although nothing is kept: after an error the recorder would retry.
    return Response()
