"""Integrations: where other libraries have a place for somebody like us.

Each file imports its own library, and none of the others.
"""
