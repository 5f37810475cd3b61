"""One request as Django sees it, and what it knows that the protocol does not: the pattern that matched, and the user.

Nothing here asks Django for the request's URL: `get_host()` and its like raise, and turn a good answer into a 400.
"""

from typing import Any

from django.conf import settings
from django.http import FileResponse

from hogline.context import Context, current, restore
from hogline.exchange import Exchange, RequestLine
from hogline.exchange.policy import Policy
from hogline.interceptors import wsgi
from hogline.interceptors.django.errors import ATTRIBUTE
from hogline.interceptors.django.stream import Follower
from hogline.interceptors.django.user import SignedInUser

__all__ = ["DjangoExchange"]


class DjangoExchange(wsgi.WsgiExchange):
    """An exchange whose request is an `HttpRequest`; its `META` is an environ, under ASGI too.

    Inside another interceptor's exchange, `outer`, it is the one that knows the route and the user, and no more.
    """

    outer: Exchange | None = None
    _user: SignedInUser | None = None
    _mine: Context | None = None
    _previous: Context | None = None

    def __init__(self, policy: Policy, request: Any) -> None:
        self.policy = policy
        self.environ: Any = request.META
        self._request = request
        self._path = request.path

    def read(self) -> RequestLine:
        """Return the facts; scheme as the project's own proxy settings have Django see them."""
        get, path = self.environ.get, self._path or "/"
        prefix = (get("SCRIPT_NAME") or "").rstrip("/")
        # ASGI has the prefix in the path; FORCE_SCRIPT_NAME and some servers leave it out.
        if prefix and not (path == prefix or path.startswith(f"{prefix}/")):
            path = prefix + path
        return (
            self._request.method,
            self._request.scheme or "http",
            path,
            get("QUERY_STRING") or "",
            get("REMOTE_ADDR") or None,
        )

    def host(self) -> str | None:
        """Return the host as the project's own proxy settings have Django see it."""
        forwarded = self.environ.get("HTTP_X_FORWARDED_HOST") if settings.USE_X_FORWARDED_HOST else None
        return forwarded or super().host()

    def server(self) -> str | None:
        """Return the address that answered; under ASGI Django calls it "unknown"."""
        return super().server() if self.environ.get("SERVER_NAME") != "unknown" else None

    def request(self) -> Any:
        """Return Django's own request."""
        return self._request

    def find_route(self) -> str | None:
        """Return the matched pattern, with the mount of an interceptor around us; None for a 404.

        Django's patterns lack the leading slash. Those of `re_path` are regular expressions and stay as they are.
        """
        route = getattr(self._request.resolver_match, "route", None)
        if not isinstance(route, str):
            return None
        template = route if route.startswith("^") else f"/{route}"
        return self._mount() + template

    def _mount(self) -> str:
        if self.outer is None:
            return ""
        return (self.environ.get("SCRIPT_NAME") or "").removeprefix(self.outer.prefix).rstrip("/")

    def find_user(self) -> Any:
        """Return the primary key of the signed-in user, as far as it is known without asking in the event loop."""
        if self._user is None:
            self._user = SignedInUser(self._request)
        return self._user.find()

    def know_user(self) -> None:
        """Find the user now, in a thread that may ask the database: under ASGI, events of exceptions leave from the loop."""
        if "scope" in self._request.__dict__ and self.policy.settings.distinct_id is None:
            try:
                self.find_user()
            except Exception as error:
                self.policy.complain("user", error)

    def note(self, error: BaseException, *, handled: bool) -> None:
        """Observe *error*, here or in the exchange around us."""
        (self.outer or self).observe(error, handled=handled, policy=self.policy)

    def begin(self) -> None:
        """Make the request ours, or join the exchange around us."""
        self._request.__dict__[ATTRIBUTE] = self
        if self.outer is None:
            self._mine, self._previous = self.enter()
        else:
            self.outer.adopt(self)

    def escaped(self, error: BaseException) -> None:
        """End with an exception on its way to the server: exits, cancellation, DEBUG_PROPAGATE_EXCEPTIONS."""
        # Inside another interceptor, whether somebody handles it is the outermost layer's to say.
        self.note(error, handled=self.outer is not None)
        self._end()

    def answered(self, response: Any) -> Any:
        """End with *response*; what makes its body while it is read goes on in the request's context."""
        self.status: int | None = getattr(response, "status_code", None)
        if self.outer is not None and self.outer.policy.exceptions is None:
            self.outer.status = self.status  # nobody out there looks at it
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
        # What holds each other would wait for a garbage collection: request and exchange, exchange and context.
        self._request.__dict__.pop(ATTRIBUTE, None)
        mine, self._mine = self._mine, None
        if mine is not None:
            self.close()
            restore(mine, self._previous)
            self._previous = None


def _is_file(response: Any) -> bool:
    # The server sends it by itself, and none of the app's code runs meanwhile (rule `hands-off-bodies`).
    return isinstance(response, FileResponse) and getattr(response, "file_to_stream", None) is not None
