"""The sender: a real web server. `/send/<task>/<label>` queues a task inside a request, `/bare/...`
outside any.

    python -m tests.propagation.queues.shop celery_app

Prints its port, serves until its standard input is closed, and says nothing else.
"""

import importlib
import sys
import threading
from wsgiref.simple_server import WSGIRequestHandler, make_server

from hogline import get_context_distinct_id, tag
from hogline.interceptors.wsgi import PostHogInterceptor
from tests.propagation.queues.contract import ON, posthog


class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass


def main():
    queue = importlib.import_module(f"tests.propagation.queues.{sys.argv[1]}")

    def app(environ, start_response):
        _, task, label = environ["PATH_INFO"].strip("/").split("/")
        tag("plan", "pro")
        tag("secret", "stays here")
        queue.send(task, label)
        if task == "eager":
            posthog.capture(f"after {label}")  # the request's own context is back
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [(get_context_distinct_id() or "-").encode()]

    intercepted = PostHogInterceptor(app, client=posthog, properties=lambda _: {"shop": "north"}) if ON else app

    def either(environ, start_response):
        return (app if environ["PATH_INFO"].startswith("/bare") else intercepted)(environ, start_response)

    server = make_server("127.0.0.1", 0, either, handler_class=Quiet)
    print(server.server_port, flush=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    sys.stdin.read()
    server.shutdown()
    close = getattr(queue, "close", None)
    if close is not None:
        close()


if __name__ == "__main__":
    main()
