"""The active OpenTelemetry span, if this process has loaded OpenTelemetry. Never imports it."""

import sys

__all__ = ["active_span"]


def active_span() -> dict[str, str]:
    """Return `$trace_id` and `$span_id` in hex; empty where no valid span is active.

    Source: docs/internals/capture-protocol.md#default-properties.
    """
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return {}
    try:
        current = trace.get_current_span()
        if current is trace.INVALID_SPAN:
            return {}
        span = current.get_span_context()
        return {"$trace_id": f"{span.trace_id:032x}", "$span_id": f"{span.span_id:016x}"} if span.is_valid else {}
    except Exception:  # half imported, or another module of that name
        return {}
