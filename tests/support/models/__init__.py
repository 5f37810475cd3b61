"""The same few lines in every process model: one client made at import, and an event for each request, task or line."""
