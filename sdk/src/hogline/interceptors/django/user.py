"""The signed-in user of a Django request, found without side effects.

Evaluating `request.user` queries the database, which is forbidden in the event loop, and marks the
session as accessed, which makes the response vary by cookie. So a user that the app has not read
yet is taken from the session through a session store of our own.
"""

from asyncio import get_running_loop
from typing import Any

from django.contrib.auth import SESSION_KEY
from django.utils.functional import LazyObject, empty

__all__ = ["SignedInUser"]

_AUTH_MIDDLEWARE = "django.contrib.auth.middleware"
_UNKNOWN = object()


class SignedInUser:
    """The user of one request. Looked up anew each time, since a view may sign a user in or out."""

    __slots__ = ("_in_session", "_request")

    def __init__(self, request: Any) -> None:
        self._request = request
        self._in_session: Any = _UNKNOWN

    def find(self) -> Any:
        """Return the user's primary key.

        Returns None if nobody is signed in, or if the key cannot be known here.
        """
        known = self._request.__dict__
        user = known.get("user")
        if user is None:
            return None
        if not issubclass(type(user), LazyObject):
            return _primary_key(user)
        evaluated = vars(user).get("_wrapped", empty)
        if evaluated is not empty:
            return _primary_key(evaluated)
        for name in ("_cached_user", "_acached_user"):  # set by `request.user` and by `auser()`
            if name in known:
                return _primary_key(known[name])
        if getattr(vars(user).get("_setupfunc"), "__module__", None) == _AUTH_MIDDLEWARE:
            return self._session_user()
        return None if _is_in_event_loop() else _primary_key(user)  # the project's own lazy user

    def _session_user(self) -> Any:
        session = getattr(self._request, "session", None)
        if session is None:
            return None
        loaded = vars(session).get("_session_cache")
        if loaded is not None:
            return loaded.get(SESSION_KEY)
        if session.session_key is None:
            return None
        if self._in_session is _UNKNOWN:
            if _is_in_event_loop():
                return None
            self._in_session = type(session)(session.session_key).get(SESSION_KEY)
        return self._in_session


def _primary_key(user: Any) -> Any:
    return getattr(user, "pk", None) if getattr(user, "is_authenticated", False) else None


def _is_in_event_loop() -> bool:
    try:
        get_running_loop()
    except RuntimeError:
        return False
    return True
