"""The arguments that posthog-python's middlewares share, as options of Hogline's interceptors."""

from collections.abc import Callable, Mapping
from typing import Any, TypedDict

from hogline.client import Client
from hogline.default import captures_exceptions

__all__ = ["OfficialOptions", "interceptor_options"]


class OfficialOptions(TypedDict):
    """The options of an interceptor that posthog-python's arguments name."""

    client: Client | None
    capture_exceptions: bool
    request_filter: Callable[[Any], Any] | None
    properties: Callable[[Any], Mapping[str, Any] | None] | None
    identity_headers: bool


def interceptor_options(
    client: Client | None,
    capture_exceptions: bool | None,
    request_filter: Callable[[Any], Any] | None,
    extra_properties: Callable[[Any], Mapping[str, Any] | None] | None,
    trust_tracing_headers: bool | None,
    capture_tracing_headers: bool | None,
) -> OfficialOptions:
    """Return the options. *capture_exceptions* None: as the client says."""
    reads_headers = trust_tracing_headers if capture_tracing_headers is None else capture_tracing_headers
    return {
        "client": client,
        "capture_exceptions": captures_exceptions(client) if capture_exceptions is None else capture_exceptions,
        "request_filter": request_filter,
        "properties": extra_properties,
        "identity_headers": reads_headers is not False,
    }
