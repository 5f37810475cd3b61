"""Feature flags: the endpoints that SDKs call. Today every project's set of flags is empty."""
