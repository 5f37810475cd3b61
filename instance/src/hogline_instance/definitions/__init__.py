"""Definitions of events and properties: the names that were seen, with the types of their values."""
