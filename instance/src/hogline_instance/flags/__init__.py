"""Feature flags: what SDKs ask for. Today every project's set of flags is empty."""
