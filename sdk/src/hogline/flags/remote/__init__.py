"""Flag definitions and answers from the server: the poller, its caches, the API.

Knows no client.
"""
