"""One file per framework. Each installs itself, opens and closes the exchange, and annotates what its protocol cannot see.

Importing this package imports no framework; `hogline.interceptors.<framework>` needs its own. Framework files know their
framework, a protocol file (`asgi`, `wsgi`) and `exchange`; never each other.
"""
