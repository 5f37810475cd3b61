"""Exchange: one request and its response, no framework named. The seam that all interceptors share.

A protocol file (asgi, wsgi, ...) makes an Exchange, enters it around the app and closes it; a framework file says what the
protocol cannot see, with `annotate()` and `observe()`. URL, address, identity, redaction and the exception policy are
decided here, once. Nothing is read from the request until something is captured.
"""

import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any, TypeAlias, get_args

from hogline.context import Context, current
from hogline.deduplication import Captor, captured_before, mark_captured
from hogline.event import distinct_id_text, new_request_id
from hogline.exception_kinds import http_status, is_noise, leaves, unwrapped
from hogline.facts import address, tracing, url
from hogline.facts.span import active_span
from hogline.facts.visitor import HEADERS as VISITOR_HEADERS
from hogline.facts.visitor import NOBODY, Visitor, visitor
from hogline.policy import Policy, Sighting
from hogline.settings import AddressHeader
from hogline.tracebacks import Mechanism

__all__ = [
    "HEADERS",
    "Exchange",
    "RequestLine",
    "annotate",
    "current_exchange",
    "observe",
]

_MAX_SIGHTINGS = 10  # exceptions of one request that wait for its status; more are the same mistake over and over
_MAX_METHOD_CHARACTERS = 32
HEADERS = (
    tracing.SESSION_ID, tracing.DISTINCT_ID, tracing.WINDOW_ID, "cookie", "host", "user-agent", *get_args(AddressHeader),
)  # fmt: skip
"""The only headers an exchange ever asks a protocol for."""
_asked: ContextVar[tuple[list[Any], ...]] = ContextVar("hogline_asked", default=())
# The callbacks that are being asked here, each an exchange and a name; emptied on its answer, since what the callback started
# may have inherited this.


RequestLine: TypeAlias = tuple[str | None, str, str, str, str | None]
"""What a protocol read from its request, none of it trusted: the method, the scheme, the path as the browser asked, decoded,
the query, and the address that connected. A plain tuple: one with names takes six times as long to make."""


class Exchange(Captor):
    """One request and its response. Protocols subclass it to say how their request is read."""

    # Class-level defaults: an attribute that a request never needs costs it nothing.
    _has_routes: bool = False  # whether `find_route` can find anything
    _has_users: bool = False  # whether `find_user` can
    inner: "Exchange | None" = None
    """How an interceptor inside this one, which knows a framework, reads the same request."""
    status: int | None = None
    """The status that left for the client, once it has."""
    _route: str | None = None
    _facts: dict[str, Any] | None = None
    _bare_facts: dict[str, Any] | None = None  # without what the app's callback adds
    _distinct_id: str | None = None
    _sightings: list[Sighting] | None = None
    _answers: Mapping[str, Any] | None = None  # what asynchronous callbacks said at the start
    _visitor: Visitor | None = None

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._has_routes = cls.find_route is not Exchange.find_route
        cls._has_users = cls.find_user is not Exchange.find_user

    # -- what a protocol says -------------------------------------------------------------------------------------

    def read(self) -> RequestLine:
        """Return the request's line. Asked once, while the request is valid."""
        raise NotImplementedError

    def headers(self, name: str) -> Sequence[str]:
        """Return the values of header *name* (lower case), duplicates apart where the protocol keeps them apart."""
        raise NotImplementedError

    def host(self) -> str | None:
        """Return the host that the browser asked, not checked: the Host header, unless the protocol knows better."""
        return self.visitor().host

    def server(self) -> str | None:
        """Return the address that answered, "name:port", where it is known; for a Host header that cannot be used."""
        return None

    def visitor(self) -> Visitor:
        """Return what the headers tell of the visitor: nobody, where they cannot be read."""
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
        """Return what `visitor` keeps: the first usable value of each header, the host's as it came, the addresses joined."""
        *identity, host, chain = VISITOR_HEADERS[self.policy.settings.address_header]
        session, window, person, agent = (tracing.usable(self.headers(name)) or "" for name in identity)
        return visitor(
            session, window, person, agent, next(iter(self.headers(host)), ""), ",".join(self.headers(chain))
        )

    def request(self) -> Any:
        """Return what the framework's users call a request; handed to their callbacks."""
        raise NotImplementedError

    def find_route(self) -> str | None:
        """Return the route's template as far as known by now."""
        return self.inner.find_route() if self.inner is not None else None

    def find_user(self) -> Any:
        """Return the signed-in user's id where the framework knows one by itself."""
        return self.inner.find_user() if self.inner is not None else None

    @property
    def prefix(self) -> str:
        """Where the server has mounted the app that this exchange stands around; what is mounted further in comes after it."""
        return ""

    def adopt(self, inner: "Exchange") -> None:
        """Let *inner*, the exchange of an interceptor inside of us that knows a framework, find the route and the user."""
        self.inner = inner
        self._has_routes = self._has_users = True

    # -- what events carry: the Origin of a Context ---------------------------------------------------------------

    def distinct_id(self) -> str | None:
        """Return who acts: the app's word, else the framework's, else the header, else the cookie.

        Kept once known, but where a framework's user may sign in, or become known, in the middle of the request.
        """
        known = self._distinct_id
        if known is None:
            known = self._find_distinct_id()
            if not self._has_users or self.policy.settings.distinct_id is not None:
                self._distinct_id = known
        return known

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
            route = self._route
            if route is None:
                try:
                    route = self.find_route()
                except Exception as error:
                    self.policy.complain("route", error)
            if route:
                # A new mapping: events that were captured before routing keep theirs.
                facts = self._facts = {**facts, "$request_route": route}
        return facts

    def annotate(self, *, route: str | None = None, status: int | None = None) -> None:
        """Add what a framework knows and the protocol does not."""
        if route:
            self._route = route
            self._has_routes = True
            if self._facts is not None:
                self._facts = {**self._facts, "$request_route": route}
        if status is not None:
            self.status = status

    def _find_distinct_id(self) -> str | None:
        settings, said = self.policy.settings, None
        try:
            if settings.distinct_id is not None:
                said = distinct_id_text(self.answer("distinct_id"))
            elif self._has_users:
                said = distinct_id_text(self.find_user())
        except Exception as error:
            self.policy.complain("user" if settings.distinct_id is None else "distinct_id", error)
        if said is None and settings.identity_headers:
            said = self.visitor().person or None
        if said is None and settings.read_cookie and settings.identity_headers:
            said = self._cookie().distinct_id
        return said

    def _cookie(self) -> tracing.CookieIdentity:
        # Only where the browser sent no tracing headers at all; docs/internals/capture-protocol.md#tracing-headers.
        visitor = self.visitor()
        if visitor.session or visitor.person:
            return tracing.CookieIdentity()
        try:
            header = "; ".join(self.headers("cookie"))
        except Exception as error:
            self.policy.complain("headers", error)
            return tracing.CookieIdentity()
        idle_s = self.policy.settings.cookie_idle_seconds
        return tracing.cookie_identity(header, self.policy.client.project_token, time.time(), idle_s)

    def _collect(self) -> dict[str, Any]:
        asks = self.policy.settings.properties is not None
        if asks and self._bare_facts is not None:
            return self._with_properties(self._bare_facts)
        facts: dict[str, Any] = {"$request_id": new_request_id()}
        try:
            self._add_request(facts)
        except Exception as error:
            self.policy.complain("request", error)
        if asks:
            # Kept before asking: what the callback itself captures is of the same request.
            self._bare_facts = facts
            return self._with_properties(facts)
        return facts

    def _with_properties(self, facts: dict[str, Any]) -> dict[str, Any]:
        more = self.answer("properties")
        try:
            if isinstance(more, Mapping):
                return {**facts, **more}
            if more is not None:
                raise TypeError(f"it returned {type(more).__name__}, not a mapping")
        except Exception as error:
            self.policy.complain("properties", error)
        return facts

    def _add_request(self, facts: dict[str, Any]) -> None:
        """Add what is known to *facts*. Plain steps: this runs once for each request that captures anything."""
        policy, who = self.policy, self.visitor()
        settings = policy.settings
        method, scheme, path, query, peer = self.read()
        page = url.page_facts(scheme, self.host(), path, query, settings.url_query, policy.secret_names)
        if "$current_url" not in page:
            page = url.page_facts(scheme, self.server(), path, query, settings.url_query, policy.secret_names)
        facts |= who.facts
        facts |= page
        if method:
            facts["$request_method"] = method[:_MAX_METHOD_CHARACTERS]
        if not who.session and settings.read_cookie and (session := self._cookie().session_id) is not None:
            facts["$session_id"] = session
        ip = who.address if policy.believes_visitors else None
        if ip is None:
            chain = address.forwarded_chain(who.chain) if settings.address_header == "forwarded" else who.chain
            ip = address.client_address(chain, peer, policy.trusted_proxies)
        if ip is not None:
            facts["$ip"] = ip

    def answer(self, name: str) -> Any:
        """Return what the user's callback *name* says of this request, None where there is none, or where it asks itself.

        A callback may capture, or do what others capture (a query's span, an HTTP call), which asks who acts. Never raises.
        """
        if self._answers is not None and name in self._answers:
            return self._answers[name]
        before = _asked.get()
        for asked in before:
            if asked and asked[0] is self and asked[1] == name:
                return None
        question = [self, name]
        _asked.set((*before, question))
        try:
            return self.policy.call(name, self.request())
        except Exception as error:  # a request that cannot be made any more
            self.policy.complain(name, error)
            return None
        finally:
            question.clear()
            _asked.set(before)

    def keep_answers(self, answers: Mapping[str, Any]) -> None:
        """Remember what asynchronous callbacks answered before the app ran."""
        self._answers = answers

    # -- the context around the app -------------------------------------------------------------------------------

    def enter(self) -> tuple[Context, Context | None]:
        """Begin the request's context from nothing (rule `fresh-context`); returns it and what was there, for `leave`."""
        previous = current.get()
        mine = Context(self, self)
        current.set(mine)
        return mine, previous

    # -- exceptions -----------------------------------------------------------------------------------------------

    def observe(
        self, error: BaseException, *, handled: bool, status: int | None = None, policy: Policy | None = None
    ) -> None:
        """Note an exception at the moment it is seen (rule `observe-at-the-moment`); what becomes of it is decided when the exchange closes.

        Seen again by an outer layer, the last word on *handled* and *status* counts.
        """
        policy = policy or self.policy
        rules = policy.exceptions
        if rules is None:
            return
        try:
            error = unwrapped(error)
            if is_noise(error) or all(isinstance(leaf, rules.ignore) or is_noise(leaf) for leaf in leaves(error)):
                return
            sightings = self._sightings = self._sightings if self._sightings is not None else []
            for sighting in sightings:
                if sighting.error is error:
                    sighting.handled = handled
                    sighting.status = status if status is not None else sighting.status
                    return
            if len(sightings) >= _MAX_SIGHTINGS:
                if not captured_before(error, self):
                    policy.client.refuse_exception()
                return
            mechanism = Mechanism(type="middleware", handled=handled)
            entries = policy.client.snapshot_exception(error, mechanism)
            sightings.append(
                Sighting(
                    error, entries, policy.source, policy, current.get(), status, handled, time.time_ns(), active_span()
                )
            )
        except Exception as failure:
            policy.lose_exception(failure)

    def settle(self, error: BaseException) -> None:
        """Judge *error*, which was observed, if the status is known: on a socket that is long before the end.

        For who knows that no outer layer will have another word on it.
        """
        waiting = self._sightings
        if self.status is None or not waiting:
            return
        error = unwrapped(error)
        self._sightings = [sighting for sighting in waiting if sighting.error is not error]
        for sighting in waiting:
            if sighting.error is error:
                self._settle(sighting)

    def close(self) -> None:
        """Send what was seen, now that the response's status is known. Safe to call twice."""
        sightings = self._sightings
        if sightings is None:
            return
        self._sightings = None
        for sighting in sightings:
            try:
                self._settle(sighting)
            except Exception as failure:
                sighting.policy.lose_exception(failure)

    def _settle(self, sighting: Sighting) -> None:
        error, rules = sighting.error, sighting.policy.exceptions
        # Escaping unanswered, the server answers 500, whatever the exception calls itself.
        status = self.status or sighting.status or 500
        # HTTP exceptions that nobody turned into their response are mistakes like any other.
        meant = http_status(error) if sighting.handled else None
        if rules is None or captured_before(error, self):
            return
        if meant is not None and meant < rules.min_status_to_capture:
            return
        if sighting.handled:
            if rules.handled == "ignore" or (rules.handled == "by_status" and status < rules.min_status_to_capture):
                return
            sighting.entries[0]["mechanism"]["handled"] = True
        else:
            sighting.entries[0]["mechanism"]["handled"] = False
        mark_captured(error, self)
        sighting.policy.client.record_exception(sighting, {"$response_status_code": status})

    def is_judging(self, error: BaseException) -> bool:
        """Tell whether *error* was seen, and waits for the response's status to be judged."""
        return self._sightings is not None and any(sighting.error is error for sighting in self._sightings)


def current_exchange() -> Exchange | None:
    """Return the exchange that this code runs in, or None."""
    now = current.get()
    origin = now.origin if now is not None else None
    return origin if isinstance(origin, Exchange) else None


def annotate(*, route: str | None = None, status: int | None = None) -> None:
    """Tell the current exchange what a framework knows; outside an exchange it does nothing."""
    exchange = current_exchange()
    if exchange is not None:
        exchange.annotate(route=route, status=status)


def observe(error: BaseException, *, handled: bool, status: int | None = None) -> None:
    """Tell the current exchange of an exception a framework caught; outside an exchange it does nothing."""
    exchange = current_exchange()
    if exchange is not None:
        exchange.observe(error, handled=handled, status=status)
