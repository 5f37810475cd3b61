"""`python -m hogline_instance.demo.shop_server`: the shop's process.

The demo passes options in the environment.
"""

import logging
import os
import signal
import socket
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from hogline import PostHog
from hogline_instance.demo.shop import Shop

__all__ = ["main"]


def main() -> int:
    """Serve the shop on the socket that the parent bound; ends with SIGTERM, or with its parent."""
    instance_url = os.environ["SHOP_INSTANCE_URL"]
    listener = socket.socket(fileno=int(os.environ["SHOP_SOCKET"]))
    # The visitors cause errors on purpose and the demo prints them, so only Hogline's own
    # warnings are shown here.
    logging.basicConfig(level=logging.CRITICAL)
    logging.getLogger("hogline").setLevel(logging.WARNING)
    posthog = PostHog(
        os.environ["SHOP_TOKEN"],
        host=instance_url,
        flush_interval=0.3,
        release=os.environ["SHOP_RELEASE"],
        environment="demo",
    )
    shop = Shop(posthog, instance_url=instance_url, has_posthog_js=os.environ["SHOP_POSTHOG_JS"] == "1")
    module = _loaded(Path(os.environ["SHOP_APP"]))
    app = module.create_app(shop)
    # Ctrl-C reaches the whole group of processes; the parent decides when each of them ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A module for a framework without ASGI defines its own `serve`.
    getattr(module, "serve", _serve_asgi)(app, listener)
    posthog.shutdown()
    return 0


def _loaded(path: Path) -> ModuleType:
    # Load the file under another module name: `flask.py` must not shadow the package that it
    # imports.
    spec = spec_from_file_location(f"shop_on_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _serve_asgi(app: Any, listener: socket.socket) -> None:
    import uvicorn

    config = uvicorn.Config(app, log_level="critical", ws="none", server_header=False, timeout_graceful_shutdown=3)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    sys.exit(main())
