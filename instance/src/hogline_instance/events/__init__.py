"""The shape of an event: its row and columns, filters and cursors, and the decoded event.

This package knows the store. It must not know HTTP, HTML or any feature.
"""
