"""Facts of a request as pure functions over strings: ids in headers, the client's address, the URL.

Nothing here knows a framework, a socket, or a setting beyond its arguments. The exchange decides
when to call these functions.
"""
