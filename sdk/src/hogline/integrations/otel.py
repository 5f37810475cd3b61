"""posthog-python's span processor by name."""

from hogline.propagation.opentelemetry import PostHogSpanProcessor as PostHogContextSpanProcessor

__all__ = ["PostHogContextSpanProcessor"]
