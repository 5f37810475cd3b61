"""Integrations: adapters for the extension points of other libraries.

Each file imports its own library, and none of the others.
"""
