"""`python -m hogline_instance.demo.shop_server`: the shop's process. Its parent says everything in the environment."""

import os
import signal
import socket
import sys

import uvicorn

from hogline import PostHog
from hogline_instance.demo.shop import create_shop

__all__ = ["main"]


def main() -> int:
    """Serve the shop on the socket that the parent bound; ends with SIGTERM, or with its parent."""
    instance_url = os.environ["SHOP_INSTANCE_URL"]
    listener = socket.socket(fileno=int(os.environ["SHOP_SOCKET"]))
    posthog = PostHog(os.environ["SHOP_TOKEN"], host=instance_url, flush_interval=0.3)
    shop = create_shop(posthog, instance_url=instance_url, has_posthog_js=os.environ["SHOP_POSTHOG_JS"] == "1")
    # Ctrl-C reaches the whole group of processes; the parent decides when each of them ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    config = uvicorn.Config(shop, log_level="critical", ws="none", server_header=False, timeout_graceful_shutdown=3)
    uvicorn.Server(config).run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(main())
