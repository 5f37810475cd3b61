"""Django under ASGI with an interceptor around the project too, as servers that run no exit
handlers want it.
"""

from typing import Any

from hogline import PostHog
from hogline.interceptors.asgi import PostHogInterceptor
from tests.interceptors.apps import contract, django_asgi


def build(client: PostHog, options: dict[str, Any] | None) -> Any:
    """Return the project of these options, in an interceptor that captures no exceptions itself."""
    return PostHogInterceptor(django_asgi.build(client, options), client=client)


app = contract.serve_asgi(build, contract.of_request)
