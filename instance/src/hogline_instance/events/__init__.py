"""The shape of an event: its row and columns, filters and cursors, and the event that is read back.

Knows the store. Must not know HTTP, HTML or any feature.
"""
