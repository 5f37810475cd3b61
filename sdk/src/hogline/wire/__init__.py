"""PostHog's protocol as pure functions: values to bytes, events to request bodies.

They know no thread, no socket and no HTTP.
"""
