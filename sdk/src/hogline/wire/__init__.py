"""PostHog's protocol as pure functions: values to bytes, events to request bodies. Knows no thread, no socket, no HTTP."""
