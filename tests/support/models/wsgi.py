"""WSGI: each request captures one event and answers with its id."""

from tests.support.models.client import capture


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [capture(environ["PATH_INFO"]).encode()]
