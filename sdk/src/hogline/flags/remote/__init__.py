"""Flag definitions and answers from the server: the poller, its caches, the API.

This package knows no client.
"""
