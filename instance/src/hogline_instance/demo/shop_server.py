"""`python -m hogline_instance.demo.shop_server`: the shop's process. Its parent says everything in the environment."""

import logging
import os
import signal
import socket
import sys
from importlib import import_module
from typing import Any

from hogline import PostHog
from hogline_instance.demo.counter import Counter

__all__ = ["main"]


def main() -> int:
    """Serve the shop on the socket that the parent bound; ends with SIGTERM, or with its parent."""
    instance_url, name = os.environ["SHOP_INSTANCE_URL"], os.environ["SHOP_APP"]
    listener = socket.socket(fileno=int(os.environ["SHOP_SOCKET"]))
    # The visitors break the shop on purpose, and the terminal tells it; what Hogline has to say is shown.
    logging.basicConfig(level=logging.CRITICAL)
    logging.getLogger("hogline").setLevel(logging.WARNING)
    posthog = PostHog(os.environ["SHOP_TOKEN"], host=instance_url, flush_interval=0.3)
    counter = Counter(posthog, instance_url=instance_url, has_posthog_js=os.environ["SHOP_POSTHOG_JS"] == "1")
    module = import_module(f"hogline_instance.demo.shop_{name}")
    shop = module.create_shop(counter)
    # Ctrl-C reaches the whole group of processes; the parent decides when each of them ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A shop that is no ASGI app brings its server.
    getattr(module, "serve", _serve_asgi)(shop, listener)
    posthog.shutdown()
    return 0


def _serve_asgi(shop: Any, listener: socket.socket) -> None:
    import uvicorn

    config = uvicorn.Config(shop, log_level="critical", ws="none", server_header=False, timeout_graceful_shutdown=3)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    sys.exit(main())
