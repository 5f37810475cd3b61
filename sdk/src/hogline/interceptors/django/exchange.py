"""A Django request as an exchange, with its URL pattern and its user.

Nothing here calls `get_host()` or builds URLs with Django: these raise on a bad Host header, which
would turn the app's answer into a 400.
"""

from typing import Any

from django.conf import settings
from django.http import FileResponse

from hogline.context import Context, current, restore
from hogline.exchange import Exchange, Policy, RequestLine
from hogline.guard import guard
from hogline.interceptors import wsgi
from hogline.interceptors.django.errors import ATTRIBUTE
from hogline.interceptors.django.stream import Follower
from hogline.interceptors.django.user import SignedInUser

__all__ = ["DjangoExchange"]

_LINE_KEYS = ("SCRIPT_NAME", "QUERY_STRING", "REMOTE_ADDR", "SERVER_NAME", "SERVER_PORT")


class DjangoExchange(wsgi.WsgiExchange):
    """An exchange whose request is an `HttpRequest`; its `META` is an environ, under ASGI too.

    Inside `outer`, the exchange of another interceptor, it only adds the route and the user.
    """

    outer: Exchange | None = None
    may_be_handled: bool = False
    """Whether an interceptor further out observes exceptions that leave Django."""
    _user: SignedInUser | None = None
    _mine: Context | None = None
    _previous: Context | None = None

    def __init__(self, policy: Policy, request: Any) -> None:
        self.policy = policy
        self.environ: Any = request.META
        self._request = request
        self._path = request.path
        if "scope" in request.__dict__:
            self.protocol: str | None = "asgi"

    def read(self) -> RequestLine:
        """Return the request line, with the scheme that the project's proxy settings give."""
        return self.line_of(self.raw()[0])

    def raw(self) -> tuple[Any, int]:
        """Return the values that `line_of`, `host_of` and `server_of` read, and their length."""
        environ, request, path = self.environ, self._request, self._path
        prefix, query, peer, name, port = map(environ.get, _LINE_KEYS)
        forwarded = environ.get("HTTP_X_FORWARDED_HOST") if settings.USE_X_FORWARDED_HOST else None
        raw = (peer, request.method, request.scheme, prefix, path, query, forwarded, name, port)
        return raw, len(path or "") + len(query or "") + len(forwarded or "")

    @staticmethod
    def line_of(raw: Any) -> RequestLine:
        """Return the request line in *raw*."""
        peer, method, scheme, prefix, path, query, *_ = raw
        path, prefix = path or "/", (prefix or "").rstrip("/")
        # Under ASGI the path includes the prefix; with FORCE_SCRIPT_NAME and some servers it does
        # not.
        if prefix and not (path == prefix or path.startswith(f"{prefix}/")):
            path = prefix + path
        return (method, scheme or "http", path, query or "", peer or None)

    @staticmethod
    def host_of(raw: Any, host: str) -> str | None:
        """Return the host that the project's proxy settings give."""
        return raw[6] or host

    @staticmethod
    def server_of(raw: Any) -> str | None:
        """Return the server's own address; under ASGI Django calls it "unknown"."""
        return wsgi.WsgiExchange.server_of(raw) if raw[-2] != "unknown" else None

    def host(self) -> str | None:
        """Return the host that the project's proxy settings give."""
        forwarded = self.environ.get("HTTP_X_FORWARDED_HOST") if settings.USE_X_FORWARDED_HOST else None
        return forwarded or super().host()

    def server(self) -> str | None:
        """Return the server's own address; under ASGI Django calls it "unknown"."""
        return super().server() if self.environ.get("SERVER_NAME") != "unknown" else None

    def request(self) -> Any:
        """Return Django's request."""
        return self._request

    def find_route(self) -> str | None:
        """Return the matched pattern; None for a 404.

        It includes the mount that an outer interceptor knows. Django's patterns lack the leading
        slash. Those of `re_path` stay regular expressions.
        """
        route = getattr(self._request.resolver_match, "route", None)
        if not isinstance(route, str):
            return None
        template = route if route.startswith("^") else f"/{route}"
        mount = self.mounted_at(self.environ.get("SCRIPT_NAME")) if self.outer is not None else ""
        return mount + template

    def find_user(self) -> Any:
        """Return the primary key of the signed-in user.

        Returns None if it cannot be known without blocking the event loop.
        """
        if self._user is None:
            self._user = SignedInUser(self._request)
        return self._user.find()

    def know_user(self) -> None:
        """Find the user in this thread, which may query the database.

        Under ASGI the exception's event is made later, in the event loop, which may not.
        """
        if "scope" in self._request.__dict__ and self.policy.settings.distinct_id is None:
            with guard("user", self.policy.complain):
                self.find_user()

    def note(self, error: BaseException, *, handled: bool) -> None:
        """Observe *error* in the outermost exchange."""
        (self.outer or self).observe(error, handled=handled, policy=self.policy)

    def begin(self) -> None:
        """Begin the request's context, or join the outer exchange."""
        self._request.__dict__[ATTRIBUTE] = self
        if self.outer is None:
            self._mine, self._previous = self.enter()
            return
        self.outer.adopt(self)
        self.may_be_handled = self.outer.is_observed_outside(self.policy)
        self._mine, self._previous = self.outer.context_for_thread(), current.get()
        if self._mine is not None:
            current.set(self._mine)

    def escaped(self, error: BaseException) -> None:
        """End with an exception that goes on to the server.

        These are exits, cancellation, and all exceptions under DEBUG_PROPAGATE_EXCEPTIONS.
        """
        self.note(error, handled=self.may_be_handled)
        self._end()

    def answered(self, response: Any) -> Any:
        """End with *response*; a streamed body continues in the request's context."""
        self.status: int | None = getattr(response, "status_code", None)
        if self.outer is not None and self.outer.policy.exceptions is None:
            self.outer.status = self.status  # the outer interceptor does not observe it
        if self._request.method == "OPTIONS" and self.outer is None:
            get = self.environ.get
            self.policy.check_preflight(
                get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS"), get("HTTP_ORIGIN"), response.items()
            )
        if getattr(response, "streaming", False) and not _is_file(response):
            self._follow(response)
        self._end()
        return response

    def _follow(self, response: Any) -> None:
        at_end = current.get()
        is_asgi = "scope" in self._request.__dict__
        if self._mine is not None:
            Follower(self, self._mine, at_end or self._mine, is_asgi=is_asgi).follow(response)
        elif self.policy.exceptions is not None:
            Follower(self, None, at_end, is_asgi=is_asgi).follow(response)

    def _end(self) -> None:
        # Break the cycles of request, exchange and context; they would wait for a garbage
        # collection.
        self._request.__dict__.pop(ATTRIBUTE, None)
        mine, self._mine = self._mine, None
        if mine is not None:
            if self.outer is None:
                self.end()
            restore(mine, self._previous)
            self._previous = None


def _is_file(response: Any) -> bool:
    # The server sends a file by itself, without running the app's code (rule `hands-off-bodies`).
    return isinstance(response, FileResponse) and getattr(response, "file_to_stream", None) is not None
