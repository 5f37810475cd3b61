"""One file per framework: it installs itself, opens and closes the exchange, and annotates it.

Importing this package imports no framework; `hogline.interceptors.<framework>` imports its own. A
framework file knows its framework, a protocol file (`asgi`, `wsgi`), `common/` and the exchange,
but no other framework file. `users/` holds callables that name the signed-in user.
"""
