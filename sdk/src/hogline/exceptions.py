"""The errors that Hogline raises at its callers, never inside a request.

HoglineError
 +-- SettingsError (ValueError)     an option has a value that cannot work; raised where the client
 |                                  is made
 +-- EventTooLarge (ValueError)     one event is over `max_event_bytes`; counted as a drop, seen
 |                                  only with debug=True
 +-- APIError                       posthog-python's name for an error of a request
      +-- DeliveryError (RuntimeError)   a batch was dropped; given to `on_error`, never raised at
                                         the caller
"""

__all__ = ["DeliveryError", "EventTooLarge", "HoglineError", "SettingsError"]


class HoglineError(Exception):
    """The base of all errors that Hogline raises on purpose."""


class SettingsError(HoglineError, ValueError):
    """An option has a value that cannot work."""


class EventTooLarge(HoglineError, ValueError):  # noqa: N818 - the name says what is wrong
    """One serialised event is over the limit."""

    def __init__(self, event: str, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"event {event!r} is {size_bytes} bytes as JSON, over max_event_bytes={limit_bytes}; "
            "send less in its properties, or raise the option"
        )
        self.event = event
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class APIError(HoglineError):
    """A request failed.

    Hogline makes `DeliveryError`s. Tests of an app's own `on_error` may make this one.
    """

    def __init__(self, status: int | str | None, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after = retry_after


class DeliveryError(APIError, RuntimeError):
    """A batch was dropped: the server refused it, or every attempt failed."""

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        events: int,
        status: int | None = None,
        request_id: str | None = None,
        details: tuple[str, ...] = (),
    ) -> None:
        super().__init__(status, message)
        self.reason = reason
        self.events = events
        self.request_id = request_id  # capture v1: the id of the request on the server
        self.details = details  # capture v1: why the server dropped each of the events
