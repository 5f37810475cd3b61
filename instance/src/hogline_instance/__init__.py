"""A PostHog instance in one process."""
