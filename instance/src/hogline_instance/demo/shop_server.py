"""`python -m hogline_instance.demo.shop_server`: the shop's process. Its parent says everything in the environment."""

import os
import signal
import socket
import sys
import threading
from importlib import import_module
from typing import Any

from hogline import PostHog
from hogline_instance.demo.counter import Counter

__all__ = ["APPS", "main"]

APPS = ("fastapi", "flask", "django")
"""The frameworks that the shop is written in."""


def main() -> int:
    """Serve the shop on the socket that the parent bound; ends with SIGTERM, or with its parent."""
    instance_url, name = os.environ["SHOP_INSTANCE_URL"], os.environ["SHOP_APP"]
    listener = socket.socket(fileno=int(os.environ["SHOP_SOCKET"]))
    posthog = PostHog(os.environ["SHOP_TOKEN"], host=instance_url, flush_interval=0.3)
    counter = Counter(posthog, instance_url=instance_url, has_posthog_js=os.environ["SHOP_POSTHOG_JS"] == "1")
    shop = import_module(f"hogline_instance.demo.shop_{name}").create_shop(counter)
    # Ctrl-C reaches the whole group of processes; the parent decides when each of them ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if name == "flask":
        _serve_wsgi(shop, listener)
        posthog.shutdown()
    else:
        _serve_asgi(shop, listener)
    return 0


def _serve_asgi(shop: Any, listener: socket.socket) -> None:
    import uvicorn

    config = uvicorn.Config(shop, log_level="critical", ws="none", server_header=False, timeout_graceful_shutdown=3)
    uvicorn.Server(config).run(sockets=[listener])


def _serve_wsgi(shop: Any, listener: socket.socket) -> None:
    import logging

    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, shop, threaded=True, fd=listener.fileno())
    # In a thread: `shutdown` waits for the loop that this handler interrupts.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown, daemon=True).start())
    server.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    sys.exit(main())
