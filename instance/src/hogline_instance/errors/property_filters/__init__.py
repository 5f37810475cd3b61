"""Filters of exceptions by any property, in nested groups: read from JSON, and written as SQL."""
