"""Session replay: the endpoint of posthog-js's recorder. Today recordings are accepted but not kept."""
