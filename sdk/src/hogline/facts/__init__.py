"""What a request says of itself, as pure functions over texts: ids in headers, the client's address, the URL.

Knows no framework, no socket and no setting beyond its arguments; the exchange decides when to ask.
"""
