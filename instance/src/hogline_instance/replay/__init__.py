"""Session replay: the endpoint of posthog-js's recorder. Recordings are not kept today."""
