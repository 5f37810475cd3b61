"""AuthenticationMiddleware: the signed-in user of a Starlette or FastAPI app.

The function is a value for the option `distinct_id`:

    app.add_middleware(PostHogInterceptor, client=posthog, distinct_id=signed_in_user)
"""

from typing import Any

__all__ = ["signed_in_user"]


def signed_in_user(request: Any) -> str | None:
    """Return the identity of `request.user`, else its display name; None if nobody is signed in."""
    scope = request if isinstance(request, dict) else request.scope
    user = scope.get("user")
    if user is None or not getattr(user, "is_authenticated", False):
        return None
    try:
        identity = user.identity
    except NotImplementedError:  # SimpleUser has only a name
        identity = None
    if identity is None:
        identity = getattr(user, "display_name", None)
    return str(identity) if identity else None
