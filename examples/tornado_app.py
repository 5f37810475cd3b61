"""A Tornado shop. Run it: python examples/tornado_app.py [port]"""

import asyncio
import signal
import sys

from tornado.web import Application, RequestHandler

from hogline import PostHog
from hogline.interceptors.tornado import PostHogInterceptor

posthog = PostHog()  # from HOGLINE_PROJECT_TOKEN and HOGLINE_HOST


class Checkout(RequestHandler):
    async def post(self):
        posthog.capture("checkout", properties={"total": 42})
        self.finish({"ok": True})


class Broken(RequestHandler):
    async def get(self):
        raise RuntimeError("the shop is on fire")


application = Application([(r"/checkout", Checkout), (r"/broken", Broken)])
PostHogInterceptor(application, client=posthog, capture_exceptions=True)


async def main(port):
    application.listen(port, "127.0.0.1")
    end = asyncio.Event()
    # By default SIGTERM ends Python at once, and queued events are lost.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    await end.wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8888))
