"""Exchange: one request and its response.

A protocol file (asgi, wsgi, ...) makes an Exchange, enters it around the app and closes it. A
framework file adds what the protocol cannot see, with `annotate()` and `observe()`. URL, address,
identity and redaction are decided here, once. Nothing is read from the request until something is
captured.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, ClassVar, TypeVar, get_args
from weakref import ref

from hogline.context import Context, current
from hogline.deduplication import CaptureScope
from hogline.event import distinct_id_text, new_request_id
from hogline.exchange.exceptions import RequestExceptions
from hogline.exchange.policy import Policy
from hogline.exchange.snapshot import RequestLine, Snapshot, add_request, facts_of, written_facts
from hogline.facts import tracing
from hogline.facts.visitor import HEADERS as VISITOR_HEADERS
from hogline.facts.visitor import NOBODY, Visitor, joined_visitor, visitor
from hogline.guard import guard
from hogline.settings import AddressHeader

__all__ = [
    "HEADERS",
    "Exchange",
    "RequestLine",
    "annotate",
    "current_exchange",
    "observe",
    "surrounding_exchange",
]

_E = TypeVar("_E", bound="Exchange")
_LATE_S = 60.0  # a task that the request started may capture so long after its end
_COOKIE_SEPARATORS = re.compile(r"[;,]\s*")
HEADERS = (
    tracing.SESSION_ID, tracing.DISTINCT_ID, tracing.WINDOW_ID, "cookie", "host", "user-agent", *get_args(AddressHeader),
)  # fmt: skip
"""The only headers that an exchange reads from a protocol."""
# The callbacks that are running here, each as [exchange, name]. A list is emptied when its callback
# has returned, since a task that the callback started inherits this variable.
_running: ContextVar[tuple[list[Any], ...]] = ContextVar("hogline_callbacks", default=())

_MAX_SNAPSHOT_BYTES = 1800  # facts that are made of more are made at once
# A class whose own version of one of these is newer than its `raw` knows more than `raw` reads.
_READ_BY_RAW = (
    "read",
    "host",
    "server",
    "visitor",
    "find_visitor",
    "headers",
    "_add_request",
    "_collect",
    "properties",
    "distinct_id",
)


class Exchange(CaptureScope):
    """One request and its response. Protocols subclass it with the way their request is read."""

    # Class-level defaults: an attribute that a request never needs costs it nothing.
    _has_routes: bool = False  # whether `find_route` can find anything
    _has_users: bool = False  # whether `find_user` can
    protocol: str | None = None
    """"asgi" or "wsgi" where the request came by one of these; None elsewhere."""
    inner: "Exchange | None" = None
    """The same request, read by an inner interceptor that knows a framework."""
    outside: str | None = None
    """Inside another exchange: the prefix of the outermost one."""
    is_open: bool = False
    """Whether the interceptor's call of the app is still running."""
    has_more_to_end: bool = False
    """Whether there are exceptions to judge, or exchanges inside this one."""
    _is_observed: bool = False  # whether an interceptor inside this one observes exceptions
    latest: "ref[Context] | None" = None
    status: int | None = None
    """The status that was sent to the client; None until then."""
    _late_since_s: float | None = None  # when the first event came after the end
    _route: str | None = None
    _facts: dict[str, Any] | None = None
    _bare_facts: dict[str, Any] | None = None  # without what the app's callback adds
    _distinct_id: str | None = None
    _exceptions: RequestExceptions | None = None  # made for the first one that is observed
    _answers: Mapping[str, Any] | None = None  # the results of asynchronous callbacks at the start
    _visitor: Visitor | None = None
    _is_raw: bool = False  # whether `raw` knows all that this class knows
    _snapshot: Snapshot | None = None
    _found_route: str | None = None

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._has_routes = cls.find_route is not Exchange.find_route
        cls._has_users = cls.find_user is not Exchange.find_user
        at = next(place for place, kind in enumerate(cls.__mro__) if "raw" in vars(kind))
        newer = set().union(*map(vars, cls.__mro__[:at]))
        cls._is_raw = cls.raw is not Exchange.raw and newer.isdisjoint(_READ_BY_RAW)

    # -- methods that protocols implement ---------------------------------------------------------

    def read(self) -> RequestLine:
        """Return the request line. Called once, while the request is valid."""
        raise NotImplementedError

    def headers(self, name: str) -> Sequence[str]:
        """Return the values of header *name* (lower case).

        Duplicates are separate where the protocol keeps them separate.
        """
        raise NotImplementedError

    def host(self) -> str | None:
        """Return the host that the browser asked for, unchecked: by default the Host header."""
        return self.visitor().host

    def server(self) -> str | None:
        """Return the server's own address as "name:port", if known.

        It is used where the Host header is unusable.
        """
        return None

    def visitor(self) -> Visitor:
        """Return the visitor that the headers describe; `NOBODY` where they cannot be read."""
        known = self._visitor
        if known is None:
            try:
                known = self.find_visitor()
            except Exception as error:
                self.policy.complain("headers", error)
                known = NOBODY
            self._visitor = known
        return known

    def find_visitor(self) -> Visitor:
        """Return the visitor.

        It has the first usable value of each header, the host as it came, and the joined addresses.
        """
        *identity, host, chain = VISITOR_HEADERS[self.policy.settings.address_header]
        session, window, person, agent = (tracing.usable(self.headers(name)) or "" for name in identity)
        return visitor(
            session, window, person, agent, next(iter(self.headers(host)), ""), ",".join(self.headers(chain))
        )

    def raw(self) -> tuple[Any, int]:
        """Return immutable values for `line_of`, `host_of` and `server_of`, and their length.

        The values are a flat tuple, the peer first. The length is that of the path and the query.
        A protocol that has no cheap way to read them does not override this.
        """
        raise NotImplementedError

    def raw_visitor(self) -> bytes | Visitor:
        """Return header values for `visitor_of`, or the visitor itself."""
        return self.visitor()

    @staticmethod
    def visitor_of(joined: bytes) -> Visitor:
        """Return the visitor for what `raw_visitor` returned."""
        return joined_visitor(joined)

    @staticmethod
    def line_of(raw: Any) -> RequestLine:
        """Return the request line in *raw*."""
        raise NotImplementedError

    @staticmethod
    def server_of(raw: Any) -> str | None:
        """Return the server's own address."""
        raise NotImplementedError

    written_facts: ClassVar[Callable[[Snapshot], tuple[bytes, bytes, bytes, bytes | None]]] = staticmethod(
        written_facts
    )

    @staticmethod
    def host_of(raw: Any, host: str) -> str | None:  # noqa: ARG004 - for protocols that override it
        """Return the host that the browser asked for; *host* is that of the Host header."""
        return host

    def request(self) -> Any:
        """Return the framework's own request object, which the users' callbacks receive."""
        raise NotImplementedError

    def find_route(self) -> str | None:
        """Return the route's template, if it is known yet."""
        return self.inner.find_route() if self.inner is not None else None

    def find_user(self) -> Any:
        """Return the signed-in user's id, if the framework knows one without a callback."""
        return self.inner.find_user() if self.inner is not None else None

    @property
    def prefix(self) -> str:
        """The path where the server has mounted the app of this exchange.

        Inner mounts come after it.
        """
        return ""

    def mounted_at(self, path: str | None) -> str:
        """Return the part of *path* that lies inside the outermost exchange.

        *path* is a mount's absolute path.
        """
        outside = self.prefix if self.outside is None else self.outside
        return (path or "").removeprefix(outside.rstrip("/")).rstrip("/")

    def answering(self, status: int | None, headers: Sequence[tuple[str, str]]) -> None:
        """Prepare for the start of the response.

        The app still holds its request at this moment (WSGI).
        """

    # -- several interceptors of one request ------------------------------------------------------

    def adopt(self, inner: "Exchange") -> None:
        """Let *inner* find the route and the user.

        *inner* is the exchange of an interceptor inside this one that knows a framework.
        """
        inner.outside = self.prefix if self.outside is None else self.outside
        if self.inner is None:
            self.inner = inner
        else:
            self.inner.adopt(inner)
        self._has_routes = self._has_users = self.has_more_to_end = True

    @property
    def knows_framework(self) -> bool:
        """Whether routes or users can be found here."""
        return self._has_routes or self._has_users

    def part(self, kind: "type[_E]") -> "_E | None":
        """Return this exchange, or the first one inside it, that is a *kind*."""
        exchange: Exchange | None = self
        while exchange is not None:
            if isinstance(exchange, kind):
                return exchange
            exchange = exchange.inner
        return None

    def is_observed_outside(self, policy: Policy) -> bool:
        """Return whether an interceptor further out observes exceptions.

        From now on the interceptor of *policy* may observe them, too. Only the outermost observer
        knows whether an exception that it lets go was handled.
        """
        is_observed = self._is_observed or self.policy.exceptions is not None
        if policy.exceptions is not None:
            self._is_observed = True
        return is_observed

    def paths(self) -> Sequence[str]:
        """Return the paths that this request may have had where it came in.

        Mounts may or may not be a part of it.
        """
        return (self.read()[2],)

    def is_same_request(self, other: "Exchange") -> bool:
        """Return whether *other*, read from another scope or environ, is this same request.

        A bridge between WSGI and ASGI makes a new scope or environ out of the same facts. An HTTP
        client that calls an app in this process sends another path or other headers.
        """
        method, _, path, query, peer = self.read()
        its_method, _, _, its_query, its_peer = other.read()
        if (method, query) != (its_method, its_query) or path not in other.paths():
            return False
        if peer is not None and its_peer is not None and peer != its_peer:
            return False
        # The visitor without its addresses, which each policy may read from another header.
        return self.visitor()[:5] == other.visitor()[:5] and _cookies(self) == _cookies(other)

    # -- the facts that events carry (the Origin of a Context) ------------------------------------

    def distinct_id(self) -> str | None:
        """Return the distinct id of the acting person.

        The app's callback decides, then the framework, the header, and the cookie. The answer is
        kept, except where the framework's user may sign in during the request.
        """
        if not self.is_open:
            self._note_late_use()
        known = self._distinct_id
        if known is None:
            known = self._find_distinct_id()
            if not self._has_users or self.policy.settings.distinct_id is not None:
                self._distinct_id = known
        return known

    def _note_late_use(self) -> None:
        """Log once if events are captured long after the request has ended."""
        now_s = time.monotonic()
        if self._late_since_s is None:
            self._late_since_s = now_s
        elif now_s - self._late_since_s >= _LATE_S:
            self.policy.warn_of_late_use()

    def session_id(self) -> str | None:
        """Return the browser session of the request."""
        session = self.properties().get("$session_id")
        return session if isinstance(session, str) else None

    def properties(self) -> Mapping[str, Any]:
        """Return the request's facts as event properties."""
        facts = self._facts
        if facts is None:
            facts = self._facts = self._collect()
        if self._has_routes and "$request_route" not in facts:
            route = self._route or self._known_route()
            if route:
                # A new mapping: events that were captured before routing keep the old one.
                facts = self._facts = {**facts, "$request_route": route}
        return facts

    def _known_route(self) -> str | None:
        """Return the route that was found first."""
        route = self._found_route
        if route is None:
            try:
                route = self._found_route = self.find_route()
            except Exception as error:
                self.policy.complain("route", error)
        return route

    def unfinished(self, event_id: str, *, needs_person: bool) -> tuple[Snapshot, str | None, str | None] | None:
        """Return a snapshot of the facts, the distinct id of the framework's user, and the route.

        *event_id* is unique, so that of a request's first event becomes the request's own id.
        Returns None where the properties must be made at once.
        """
        snapshot = self._snapshot
        if snapshot is None:
            snapshot = self._take_snapshot(event_id)
            if snapshot is None:
                return None
        person = None
        if needs_person:
            if not self.is_open:
                self._note_late_use()
            person = self._distinct_id
            if person is None and self._has_users:
                try:
                    person = distinct_id_text(self.find_user())
                except Exception as error:
                    self.policy.complain("user", error)
        route = self._route
        if route is None and self._has_routes:
            route = self._found_route or self._known_route()
        return snapshot, person, route

    def _take_snapshot(self, request_id: str) -> Snapshot | None:
        policy = self.policy
        # The callbacks of the app, and cookies, are read at once and in full.
        if not self._is_raw or policy.reads_at_once or self._facts is not None:
            return None
        try:
            raw, size = self.raw()
            headers = self.raw_visitor()
        except Exception:  # the full way complains about what it cannot read
            return None
        if type(headers) is not bytes or size + len(headers) > _MAX_SNAPSHOT_BYTES:
            return None
        snapshot: Snapshot = (policy, self.__class__, headers, request_id, size) + raw  # noqa: RUF005 - in half the time
        self._snapshot = snapshot
        return snapshot

    def annotate(self, *, route: str | None = None, status: int | None = None) -> None:
        """Add what a framework knows and its protocol does not."""
        if route:
            self._route = route
            self._has_routes = True
            if self._facts is not None:
                self._facts = {**self._facts, "$request_route": route}
        if status is not None:
            self.status = status

    def _find_distinct_id(self) -> str | None:
        settings, found = self.policy.settings, None
        try:
            if settings.distinct_id is not None:
                found = distinct_id_text(self.answer("distinct_id"))
            elif self._has_users:
                found = distinct_id_text(self.find_user())
        except Exception as error:
            self.policy.complain("user" if settings.distinct_id is None else "distinct_id", error)
        if found is None and settings.identity_headers:
            found = self.visitor().person or None
        if found is None and settings.read_cookie and settings.identity_headers:
            found = self._cookie().distinct_id
        return found

    def _cookie(self) -> tracing.CookieIdentity:
        # Tracing headers win. Source: docs/internals/capture-protocol.md#tracing-headers.
        visitor = self.visitor()
        if visitor.session or visitor.person:
            return tracing.CookieIdentity()
        with guard("headers", self.policy.complain):
            header = "; ".join(self.headers("cookie"))
            idle_s = self.policy.settings.cookie_idle_seconds
            return tracing.cookie_identity(header, self.policy.client.project_token, time.time(), idle_s)
        return tracing.CookieIdentity()

    def _collect(self) -> dict[str, Any]:
        has_callback = self.policy.settings.properties is not None
        if has_callback and self._bare_facts is not None:
            return self._with_properties(self._bare_facts)
        if self._snapshot is not None:
            return facts_of(self._snapshot)
        facts: dict[str, Any] = {"$request_id": new_request_id()}
        try:
            self._add_request(facts)
        except Exception as error:
            self.policy.complain("request", error)
        if has_callback:
            # Kept before the call: the callback's own events belong to the same request.
            self._bare_facts = facts
            return self._with_properties(facts)
        return facts

    def _with_properties(self, facts: dict[str, Any]) -> dict[str, Any]:
        more = self.answer("properties")
        with guard("properties", self.policy.complain):
            if isinstance(more, Mapping):
                return {**facts, **more}
            if more is not None:
                raise TypeError(f"it returned {type(more).__name__}, not a mapping")
        return facts

    def _add_request(self, facts: dict[str, Any]) -> None:
        """Add the request's own facts."""
        policy, who = self.policy, self.visitor()
        add_request(facts, policy, who, self.read(), self.host(), self.server)
        if not who.session and policy.settings.read_cookie and (session := self._cookie().session_id) is not None:
            facts["$session_id"] = session

    def answer(self, name: str) -> Any:
        """Return what the app's callback *name* returns for this request; None if there is none.

        Never raises. A callback may capture, or do what others capture (a query's span, an HTTP
        call), which needs the acting person: a callback that is already running answers None
        instead of running inside itself.
        """
        if self._answers is not None and name in self._answers:
            return self._answers[name]
        outer = _running.get()
        for running in outer:
            if running and running[0] is self and running[1] == name:
                return None
        mine = [self, name]
        _running.set((*outer, mine))
        try:
            with guard(name, self.policy.complain):  # frameworks may fail to make their request
                return self.policy.call(name, self.request())
            return None
        finally:
            mine.clear()
            _running.set(outer)

    def keep_answers(self, answers: Mapping[str, Any]) -> None:
        """Keep what asynchronous callbacks returned before the app ran."""
        self._answers = answers

    # -- the context around the app ---------------------------------------------------------------

    def enter(self) -> tuple[Context, Context | None]:
        """Begin the request's context, which inherits nothing (rule `fresh-context`).

        Returns it with the context before it, for `restore`.
        """
        previous = current.get()
        mine = Context(self, self)
        current.set(mine)
        self.is_open = True
        return mine, previous

    def context_for_thread(self) -> Context | None:
        """Return the context to enter in a thread that did not inherit the request's.

        Returns None if the thread has inherited it. The context includes all changes that the
        request's code has made so far.
        """
        origin = context.origin if (context := current.get()) is not None else None
        if origin is self or (context is not None and not isinstance(origin, Exchange)):
            return None
        latest = self.latest() if self.latest is not None else None
        return latest if latest is not None else Context(self, self)

    # -- exceptions -------------------------------------------------------------------------------

    def observe(
        self, error: BaseException, *, handled: bool, status: int | None = None, policy: Policy | None = None
    ) -> None:
        """Record an exception at the moment it is seen (rule `observe-at-the-moment`).

        Never raises. `close` judges it. When an outer layer observes it again, that layer's
        *handled* and *status* count.
        """
        policy = policy or self.policy
        rules = policy.exceptions
        if rules is None:
            return
        try:
            if self._exceptions is None:
                self._exceptions = RequestExceptions(self)
                self.has_more_to_end = True
            self._exceptions.observe(error, policy, rules, handled=handled, status=status)
        except Exception as failure:
            policy.lose_exception("exception capture", failure)

    def judge(self, error: BaseException) -> None:
        """Judge *error*, which was observed, if the status is known.

        On a socket the status is known long before the end.

        Only for callers that know that no outer layer will observe it again.
        """
        if self.status is not None and self._exceptions is not None:
            self._exceptions.judge(error, self.status)

    def close(self) -> None:
        """Judge and send what was observed, now that the response's status is known.

        Safe to call twice.
        """
        exceptions = self._exceptions
        if exceptions is not None:
            self._exceptions = None
            exceptions.judge_all(self.status)

    def end(self) -> None:
        """End the exchange: the interceptor's call of the app is over."""
        self.is_open = False
        self.close()
        if self.inner is not None:
            self.inner.end()

    def defer(self, error: BaseException, otherwise: Callable[[], object]) -> bool:
        """Return whether *error* was observed and waits for the response's status.

        If it turns out to be handled and no error, *otherwise* is called.
        """
        return self._exceptions is not None and self._exceptions.defer(error, otherwise)


def _cookies(exchange: Exchange) -> list[str]:
    # WSGI servers and bridges join several headers of one name in their own ways.
    return sorted(filter(None, _COOKIE_SEPARATORS.split(",".join(exchange.headers("cookie")))))


def surrounding_exchange(mine: Exchange) -> Exchange | None:
    """Return the running exchange if it is of the same request as *mine*, else None."""
    outer = current_exchange()
    # With the same policy it is the same interceptor: its app calls itself.
    if outer is None or not outer.is_open or outer.policy is mine.policy:
        return None
    with guard("request", mine.policy.complain):
        return outer if outer.is_same_request(mine) else None
    return None


def current_exchange() -> Exchange | None:
    """Return the exchange that this code runs in, or None."""
    context = current.get()
    origin = context.origin if context is not None else None
    return origin if isinstance(origin, Exchange) else None


def annotate(*, route: str | None = None, status: int | None = None) -> None:
    """Add to the current exchange what a framework knows; outside an exchange it does nothing."""
    exchange = current_exchange()
    if exchange is not None:
        exchange.annotate(route=route, status=status)


def observe(error: BaseException, *, handled: bool, status: int | None = None) -> None:
    """Record an exception that a framework caught; outside an exchange it does nothing."""
    exchange = current_exchange()
    if exchange is not None:
        exchange.observe(error, handled=handled, status=status)
