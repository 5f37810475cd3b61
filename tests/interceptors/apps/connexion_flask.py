"""The app on Connexion's Flask flavour: a specification, whose operations are the Flask app's
views.
"""

import logging
import re
from collections.abc import Callable
from functools import wraps
from typing import Any

import connexion
import flask
from connexion.middleware import MiddlewarePosition
from connexion.resolver import Resolver
from werkzeug.exceptions import HTTPException

from hogline import PostHog
from hogline.interceptors.connexion import PostHogInterceptor
from tests.interceptors.apps import contract
from tests.interceptors.apps.connexion_specification import specification
from tests.interceptors.apps.contract import DomainError
from tests.interceptors.apps.flask import add_views


def build(client: PostHog, options: dict[str, Any] | None) -> connexion.FlaskApp:
    logging.getLogger("connexion").setLevel(logging.CRITICAL)
    shop = connexion.FlaskApp("shop")
    shop.app.logger.setLevel(logging.CRITICAL)
    for once in contract.installs(options):
        shop.add_middleware(PostHogInterceptor, MiddlewarePosition.BEFORE_EXCEPTION, client=client, **once)
    shop.add_error_handler(DomainError, _handle)
    operations = _Operations()
    add_views(operations, client)
    operations.add_url_rule("/http/{status}", "", _http)
    operations.add_url_rule("/validate", "", _validate)
    shop.add_api(specification(operations.found), resolver=Resolver(operations.found.__getitem__))
    return shop


class _Operations:
    """Take views as a Flask app does, and make them operations.

    Connexion is given responses here, so that it does not serialise to JSON.
    """

    def __init__(self) -> None:
        self.found: dict[str, Callable[..., Any]] = {}

    def get(self, rule: str) -> Callable[[Any], Any]:
        return lambda view: self.add_url_rule(rule, "", view)

    post = get

    def add_url_rule(self, rule: str, _: str, view: Any) -> Any:
        @wraps(view)
        def operation(**arguments: Any) -> flask.Response:
            return flask.current_app.make_response(view(**arguments))

        self.found[re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)] = operation
        return view


def _handle(request: Any, error: Any) -> Any:
    return connexion.lifecycle.ConnexionResponse(status_code=error.status, body="handled")


def _http(status: int) -> str:
    error = HTTPException("no")
    error.code = status
    raise error


def _validate(number: int) -> str:
    return str(number)


app = contract.serve_asgi(build, contract.of_request)
