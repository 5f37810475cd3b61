"""The same small program in every process model: a client created at import, and one event per
request or task."""
