"""OpenTelemetry: a span processor that puts the session and the person of the context on spans.

    provider.add_span_processor(PostHogSpanProcessor())

The attributes are PostHog's own, `sessionId` and `posthogDistinctId`; one that is already there
stays. (For the other direction, the active trace on events, nothing needs to be installed.)
"""

from collections.abc import Mapping

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import get_current_span

from hogline.context import current

__all__ = ["PostHogSpanProcessor"]

_SESSION, _PERSON = "sessionId", "posthogDistinctId"


class PostHogSpanProcessor(SpanProcessor):
    """Puts the current context's session and distinct id on spans as they start."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Add the attributes to *span* and its parent.

        A server's instrumentation may start the parent before the context.
        """
        if current.get() is None:
            return
        _add_attributes(span)
        parent = get_current_span(parent_context)
        if isinstance(parent, Span):
            _add_attributes(parent)

    def on_end(self, span: ReadableSpan) -> None:
        """Leave ended spans alone."""

    def shutdown(self) -> None:
        """Hold nothing."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Hold nothing."""
        return True


def _add_attributes(span: Span) -> None:
    try:
        context = current.get()
        attributes = span.attributes
        if context is None or not span.is_recording() or not isinstance(attributes, Mapping):
            return
        for name, value in ((_SESSION, context.session), (_PERSON, context.acting_distinct_id)):
            if name not in attributes:
                told = value()
                if told is not None:
                    span.set_attribute(name, told)
    except Exception:  # spans belong to the host app, which must not notice
        return
