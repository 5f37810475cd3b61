"""posthog-python's Celery integration by name.

It is Hogline's propagation, installed by `instrument()`.
"""

from typing import Any

from hogline.client import Client
from hogline.exceptions import SettingsError
from hogline.propagation.celery import PostHogPropagation

__all__ = ["PosthogCeleryIntegration"]


class PosthogCeleryIntegration:
    """`PostHogPropagation`, as posthog-python's integration is called.

    Raises SettingsError: an option that has no counterpart: life cycle events of tasks, filters, or
    no propagation.
    """

    def __init__(
        self,
        client: Client | None = None,
        capture_exceptions: bool = True,
        capture_task_lifecycle_events: bool = False,
        propagate_context: bool = True,
        task_filter: Any = None,
    ) -> None:
        if capture_task_lifecycle_events or not propagate_context or task_filter is not None:
            raise SettingsError(
                "PosthogCeleryIntegration always propagates the context, sends no life cycle events of tasks, and has no filter; "
                "capture your own events in the tasks, and leave these three options out"
            )
        self._client = client
        self._capture_exceptions = capture_exceptions
        self._propagation: PostHogPropagation | None = None

    def instrument(self) -> None:
        """Connect Celery's signals."""
        if self._propagation is None:
            self._propagation = PostHogPropagation(client=self._client, capture_exceptions=self._capture_exceptions)

    def uninstrument(self) -> None:
        """Disconnect Celery's signals."""
        if self._propagation is not None:
            self._propagation.uninstall()
            self._propagation = None

    def shutdown(self) -> None:
        """Disconnect Celery's signals."""
        self.uninstrument()
