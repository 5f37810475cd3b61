"""The options of each `PostHogInterceptor`, whatever the framework."""

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from hogline.settings.client import ClientOption
from hogline.settings.options import (
    Callback,
    Choice,
    ExceptionClasses,
    Kind,
    Names,
    Switch,
    UnfitError,
    Whole,
    check_options,
    known_options,
    option,
)

__all__ = ["AddressHeader", "ExceptionCapture", "Handled", "InterceptorSettings", "Network", "UrlQuery"]

Handled: TypeAlias = Literal["capture", "by_status", "ignore"]
UrlQuery: TypeAlias = Literal["redact", "keep", "drop"]
AddressHeader: TypeAlias = Literal["x-forwarded-for", "forwarded", "x-real-ip", "cf-connecting-ip"]
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_LONGEST_IDLE_S = 36_000  # posthog-js's own limit for `session_idle_timeout_seconds`
_TAKES_REQUEST = Callback("a function that takes the request")


def _words(alias: Any) -> dict[str, str]:
    return {word: word for word in get_args(alias)}


class _HttpStatus(Kind):
    def check(self, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int):
            raise UnfitError("be an HTTP status")
        return value


class _ExceptionPolicy(Kind):
    """True, False, or an `ExceptionCapture`; held as an `ExceptionCapture` or None."""

    def check(self, value: Any) -> Any:
        if value is True:
            return ExceptionCapture()
        if value is False or value is None:
            return None
        if not isinstance(value, ExceptionCapture):
            raise UnfitError("be True, False or an ExceptionCapture")
        return value


class _Proxies(Kind):
    """None, a number of hops, or networks; held as None, the number, or a tuple of networks."""

    def check(self, value: Any) -> Any:
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
            return value
        try:
            given = (value,) if isinstance(value, str) else value
            return tuple(ipaddress.ip_network(item, strict=False) for item in given)
        except (TypeError, ValueError) as error:
            raise UnfitError("be None, a number of hops, or networks such as ['10.0.0.0/8']") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class ExceptionCapture:
    """Which exceptions of a request become events."""

    min_status_to_capture: int = option(
        _HttpStatus(), 500, "HTTP exceptions that answer with a lower status are not captured."
    )
    handled: Handled = option(
        Choice(_words(Handled)),
        "by_status",
        "Exceptions that a handler or middleware turned into a response: captured if its status is at least "
        "min_status_to_capture ('by_status'), always ('capture'), or never ('ignore').",
    )
    ignore: tuple[type[BaseException], ...] = option(
        ExceptionClasses(), (), "Classes that are never captured, subclasses included."
    )

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class InterceptorSettings:
    """The options that every `PostHogInterceptor` takes, whatever the framework.

    Raises SettingsError: a value that cannot work.
    """

    client: Any = option(
        ClientOption(), None, "Where captured exceptions go; the default client when None. Context serves every client."
    )
    capture_exceptions: bool | ExceptionCapture | None = option(
        _ExceptionPolicy(), False, "`True`, or an `ExceptionCapture(...)` that says which exceptions become events."
    )
    distinct_id: Callable[[Any], Any] | None = option(
        _TAKES_REQUEST,
        None,
        "Called with the framework's request; returns the signed-in user's id or None. Wins over the header.",
    )
    identity_headers: bool = option(
        Switch(),
        True,
        "Read `X-POSTHOG-DISTINCT-ID`; False where strangers must not choose whom an event belongs to.",
    )
    read_cookie: bool = option(
        Switch(),
        False,
        "With no tracing headers, read session and identified person from posthog-js's first-party cookie.",
    )
    trusted_proxies: int | Sequence[str | Network] | None = option(
        _Proxies(),
        None,
        "How many proxies are ours (hops), or their networks; None takes X-Forwarded-For's first address.",
    )
    address_header: AddressHeader = option(
        Choice(_words(AddressHeader)),
        "x-forwarded-for",
        "The header in which proxies say whom they serve: 'x-forwarded-for', 'forwarded', 'x-real-ip' or 'cf-connecting-ip'.",
    )
    cookie_idle_seconds: int = option(
        Whole(60, _LONGEST_IDLE_S),
        30 * 60,
        "Seconds after which `read_cookie` counts a session without activity as over: 60 to 36000, as posthog-js.",
    )
    secret_parameters: Sequence[str] = option(
        Names("names of query parameters"),
        (),
        "More names of query parameters whose values `url_query='redact'` masks.",
    )
    url_query: UrlQuery = option(
        Choice(_words(UrlQuery)), "redact", "`$current_url`'s query: 'redact' masks secrets, 'keep', or 'drop'."
    )
    request_filter: Callable[[Any], Any] | None = option(
        _TAKES_REQUEST,
        None,
        "Called with the framework's request; returning False leaves this request alone entirely.",
    )
    properties: Callable[[Any], Mapping[str, Any] | None] | None = option(
        _TAKES_REQUEST,
        None,
        "Called with the framework's request; returns more properties for every event of the request.",
    )

    def __post_init__(self) -> None:
        check_options(self)

    @classmethod
    def load(cls, options: Mapping[str, Any]) -> "InterceptorSettings":
        """Return the settings of an interceptor's keyword *options*.

        Raises TypeError: an option that does not exist.  Raises SettingsError: a value that cannot
        work.
        """
        known_options(cls, "PostHogInterceptor", options)
        return cls(**options)

    @property
    def proxies(self) -> int | tuple[Network, ...] | None:
        """`trusted_proxies` as it was checked: a number of hops, networks, or None."""
        proxies = self.trusted_proxies
        return proxies if proxies is None or isinstance(proxies, int) else tuple(map(ipaddress.ip_network, proxies))

    @property
    def exceptions(self) -> ExceptionCapture | None:
        """The exception policy, or None when exceptions are not captured."""
        capture = self.capture_exceptions
        return capture if isinstance(capture, ExceptionCapture) else None
