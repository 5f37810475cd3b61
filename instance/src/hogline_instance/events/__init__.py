"""The event's one shape: the row that is written, its columns, filters and cursors, and the event that is read back.

Knows the store. Must not know HTTP, HTML or any feature.
"""
