"""A WSGI app without a framework. Run it: python examples/wsgi_app.py"""

from wsgiref.simple_server import make_server

from hogline import PostHog
from hogline.interceptors.wsgi import PostHogInterceptor

posthog = PostHog()  # from HOGLINE_PROJECT_TOKEN and HOGLINE_HOST


def shop(environ, start_response):
    if environ["PATH_INFO"] == "/broken":
        raise RuntimeError("the shop is on fire")
    posthog.capture("visit")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"welcome\n"]


app = PostHogInterceptor(shop, client=posthog, capture_exceptions=True)

if __name__ == "__main__":
    with make_server("127.0.0.1", 8000, app) as server:
        server.serve_forever()
