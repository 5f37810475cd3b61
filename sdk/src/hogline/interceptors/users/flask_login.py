"""Flask-Login: the user who is signed in to a Flask app, for the option `distinct_id`.

    PostHogInterceptor(app, client=posthog, distinct_id=signed_in_user)

Reading `current_user` loads the user and marks the session as accessed, which makes the response
vary by cookie. So a user that the app itself has not read is taken from the session without marking
it.
"""

from typing import Any

import flask

__all__ = ["signed_in_user"]

_KEY = "_user_id"  # Flask-Login's, in the session


def signed_in_user(request: Any) -> str | None:  # noqa: ARG001 - the option's signature
    """Return `get_id()` of the signed-in user.

    Returns None if nobody is signed in, or outside the app's own request.
    """
    if not flask.has_request_context():
        return None
    # Flask-Login sets this when the app reads the user, or signs one in or out.
    user = getattr(flask.g, "_login_user", None)
    if user is not None:
        return _text(user.get_id()) if getattr(user, "is_authenticated", False) else None
    return _text(dict.get(session, _KEY)) if isinstance(session := _session(), dict) else None


def _session() -> Any:
    # Since Flask 3.1.3 every public access marks the session; before, it was a plain attribute.
    context: Any = flask.globals.request_ctx._get_current_object()  # type: ignore[attr-defined] # noqa: SLF001 - documented by Werkzeug
    known = vars(context)
    return known.get("_session", known.get("session"))


def _text(identity: Any) -> str | None:
    return str(identity) if identity is not None else None
