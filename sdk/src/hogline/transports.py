"""How a client sends its batches.

This module has the protocol that `PostHog(transport=...)` takes, and its values.

    class Recorder:
        def __init__(self): self.requests = []
        def send(self, request): self.requests.append(request); return UploadResponse(200)
        def close(self): pass

    posthog = PostHog("<project token>", transport=Recorder())

The transport of a client that is given none is `hogline.delivery.http_transport.HTTPTransport`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

__all__ = ["Transport", "UploadRequest", "UploadResponse"]

# The log quotes the beginning of a v0 response; nothing else reads it.
_MAX_RESPONSE_BYTES = 64 * 1024
_MAX_TEXT_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class UploadRequest:
    """One batch, as the HTTP request that PostHog understands."""

    url: str
    """The whole URL, path included."""
    headers: Mapping[str, str]
    """Content type, content encoding and user agent; with capture v1 also the authorization."""
    body: bytes = field(repr=False)
    """The body to POST, compressed if the headers say so."""
    events: Sequence[bytes] = field(default=(), repr=False)
    """The same events before compression, each one JSON object.

    Transports that need no HTTP use these.
    """
    timeout_s: float = 15.0
    """How long `send` may take to connect, and again to receive the response."""
    max_response_bytes: int = _MAX_RESPONSE_BYTES
    """The number of bytes of the response's body that are used."""


@dataclass(frozen=True, slots=True)
class UploadResponse:
    """The server's response."""

    status: int | None
    """The HTTP status: any 2xx settles the batch. None: no response, so the batch is sent again."""
    body: bytes = b""
    """The body; with capture v1 it has the result for each event."""
    retry_after: str | None = None
    """The header `Retry-After`."""
    text: str = ""
    """One line for the log and for `stats().last_error`."""

    def __str__(self) -> str:
        return self.text if self.status is None else f"{self.status} {self.text}".strip()

    @classmethod
    def failure(cls, error: BaseException) -> "UploadResponse":
        """Return the response that stands for *error*, which kept the server from giving one."""
        return cls(None, text=f"{type(error).__name__}: {error}"[:_MAX_TEXT_CHARACTERS])


@runtime_checkable
class Transport(Protocol):
    """Sends batches.

    `send` is called on a worker thread, by one thread at a time, never on the thread that captures.
    """

    def send(self, request: UploadRequest) -> UploadResponse:
        """Send one batch and return the response.

        An exception counts as no response: the batch is sent again.
        """

    def close(self) -> None:
        """Release the transport's resources.

        This is called when the last client that uses it is shut down, and maybe again.
        """
