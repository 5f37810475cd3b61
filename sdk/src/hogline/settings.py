"""Every option, declared once: type, default, unit, environment variable.

`ClientSettings` belongs to the client, `InterceptorSettings` to each `PostHogInterceptor`. Options that posthog-python has
too keep its names and units. The docs' tables and the environment variables are read from these declarations.
"""

import dataclasses
import ipaddress
import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args
from urllib.parse import urlsplit

from hogline.exceptions import SettingsError

__all__ = [
    "LONGEST_WAIT_S",
    "CaptureCompression",
    "CaptureMode",
    "ClientSettings",
    "ExceptionCapture",
    "Handled",
    "InterceptorSettings",
    "Network",
    "TaskSettings",
    "UrlQuery",
    "WhenFull",
    "environment_variables",
]

_log = logging.getLogger("hogline")
DEFAULT_HOST = "https://us.i.posthog.com"
# The address of PostHog's app is not the address of its ingestion.
# Source: docs/internals/capture-protocol.md#hosts-and-urls.
_INGESTION_HOSTS = {
    "https://app.posthog.com": "https://us.i.posthog.com",
    "https://us.posthog.com": "https://us.i.posthog.com",
    "https://eu.posthog.com": "https://eu.i.posthog.com",
}

# The methods of `hogline.flags.FlagDefinitionCacheProvider`.
_PROVIDER = (
    "should_fetch_flag_definitions",
    "get_flag_definitions",
    "on_flag_definitions_received",
    "shutdown",
)

# What posthog-python calls the same thing.
_POSTHOG_NAMES = {
    "personal_api_key": "secret_key",
    "enable_exception_autocapture": "capture_exceptions",
    "in_app_modules": "in_app_include",
}

# Where posthog-python's None means the default.
_POSTHOG_NONE = {"code_variables_mask_url_credentials", "code_variables_detect_secrets", "in_app_modules"}

Handled: TypeAlias = Literal["capture", "by_status", "ignore"]
UrlQuery: TypeAlias = Literal["redact", "keep", "drop"]
AddressHeader: TypeAlias = Literal["x-forwarded-for", "forwarded", "x-real-ip", "cf-connecting-ip"]
WhenFull: TypeAlias = Literal["drop_newest", "drop_oldest", "block"]
CaptureMode: TypeAlias = Literal["v0", "v1"]
CaptureCompression: TypeAlias = Literal["none", "gzip", "deflate", "zstd"]
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Event: TypeAlias = dict[str, Any]

# What each of these options may be, and what it is called here.
# Source: docs/internals/capture-protocol.md#capture-v1.
_CHOICES: dict[str, dict[str, str]] = {
    "when_full": {"drop_newest": "drop_newest", "drop_oldest": "drop_oldest", "block": "block"},
    "capture_mode": {"v0": "v0", "legacy": "v0", "v1": "v1", "analytics_v1": "v1"},
    "capture_compression": {
        "none": "none", "identity": "none", "gzip": "gzip", "deflate": "deflate", "zstd": "zstd",
    },
}  # fmt: skip
_LENIENT = (
    "capture_mode",
    "capture_compression",
)  # from the environment a wrong word is a warning, as in posthog-python

LONGEST_WAIT_S = 2_147_483.0
"""24 days; sockets count milliseconds in 31 bits, and wait no longer."""
_LONGEST_IDLE_S = 36_000  # posthog-js's `session_idle_timeout_seconds`
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


def _option(default: Any, text: str, *, env: tuple[str, ...] | None = None, minimum: float | None = None) -> Any:
    """A dataclass field that also says what it means; *env* () means: cannot come from the environment."""
    metadata = {"text": text, "env": env, "minimum": minimum}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """What a `PostHog` client can be told.

    Raises SettingsError: a value that cannot work, with where it came from and what to write instead.
    """

    project_token: str = _option(
        "", "The project's token (`phc_...`). Empty: the client is disabled.", env=("POSTHOG_API_KEY",)
    )
    host: str = _option(
        DEFAULT_HOST, "Where events go: PostHog Cloud, or your own instance's URL.", env=("POSTHOG_HOST",)
    )
    disabled: bool = _option(False, "True: nothing is sent; `capture()` returns None.")
    send: bool = _option(
        True, "False: ids are returned as usual, and no event leaves the process. Flags are still asked about."
    )
    debug: bool = _option(False, "True: log each batch, and raise errors at the caller instead of counting them.")
    flush_at: int = _option(100, "Events that make a batch leave at once.", minimum=1)
    flush_interval: float = _option(5.0, "Seconds that an event waits for company at most.", minimum=0.0)
    max_queue_size: int = _option(10_000, "Events waiting in memory at most.", minimum=1)
    max_queue_bytes: int = _option(64 * 1024 * 1024, "Bytes waiting in memory at most.", minimum=1)
    when_full: WhenFull = _option(
        "drop_newest",
        "What a full queue does: 'drop_newest' refuses the new event, 'drop_oldest' drops the one that waits longest, 'block' makes `capture()` wait.",
    )
    when_full_timeout: float = _option(
        1.0, "Seconds that `capture()` waits for room with `when_full='block'`; then the event is refused.", minimum=0.0
    )
    spool_dir: str | None = _option(
        None, "Folder where events wait on disk: they survive the death of the process and outages of any length."
    )
    spool_max_bytes: int = _option(
        256 * 1024 * 1024, "Bytes on disk at most, of all processes that share the folder.", minimum=64 * 1024
    )
    max_event_bytes: int = _option(
        900 * 1024, "Bytes of one event's JSON; larger ones are dropped and counted.", minimum=1
    )
    max_batch_bytes: int = _option(5 * 1024 * 1024, "Bytes of one request's body before compression.", minimum=1)
    gzip: bool = _option(True, "Compress request bodies.")
    capture_mode: CaptureMode = _option(
        "v0", "'v1': the endpoint that answers for each event; 'v0': `/batch/`.", env=("POSTHOG_CAPTURE_MODE",)
    )
    capture_compression: CaptureCompression | None = _option(
        None,
        "How v1 bodies are compressed: 'none', 'gzip', 'deflate' or 'zstd'; as `gzip` says when None.",
        env=("POSTHOG_CAPTURE_COMPRESSION",),
    )
    timeout: float = _option(15.0, "Seconds to wait for the server, for connecting and for each read.", minimum=0.001)
    max_retries: int = _option(3, "Further requests after a failed one; 3 means four requests.", minimum=0)
    shutdown_timeout: float = _option(10.0, "Seconds that the flush at exit may take.", minimum=0.0)
    disable_geoip: bool = _option(True, "Ask the server not to derive a place from the IP address.")
    is_server: bool = _option(True, "Mark events as sent by a server (`$is_server`).")
    historical_migration: bool = _option(False, "The events are old ones being moved; the server takes its slow lane.")
    super_properties: Mapping[str, Any] | None = _option(
        None, "Properties for every event; the context's and the caller's win over them.", env=()
    )
    before_send: Callable[[Event], Event | None] | None = _option(
        None, "Called with each assembled event; returns it, a changed one, or None to drop it.", env=()
    )
    on_drop: Callable[[str, Event | None], None] | None = _option(
        None, "Called with the reason and the event, where it is still at hand, whenever one is lost.", env=()
    )
    on_error: Callable[[Exception, list[Event]], None] | None = _option(
        None, "Called on the sender's thread with the error and the events of a batch that was given up.", env=()
    )
    redact_messages: bool = _option(
        True, "Mask, in exceptions' messages, secrets of URLs and whatever has the shape of a token or key."
    )
    project_root: str | None = _option(
        None, "Folder of the app's own code, for `in_app`; the working directory when None."
    )
    in_app_include: Sequence[str] = _option((), "Modules, by dotted prefix, that always are the app's own code.")
    in_app_exclude: Sequence[str] = _option((), "Modules, by dotted prefix, that never are the app's own code.")
    capture_exceptions: bool = _option(
        False, "Capture what nothing caught: in the main thread, threads, finalizers and asyncio's callbacks and tasks."
    )
    log_captured_exceptions: bool = _option(
        False, "Log each exception that is captured, with its traceback (logger `hogline`, ERROR)."
    )
    enable_exception_autocapture_rate_limiting: bool = _option(
        False, "Hold back exceptions of one kind that come too often; what you capture by hand is never held back."
    )
    exception_autocapture_bucket_size: int = _option(
        50, "Exceptions of one kind (types and places, or `$exception_fingerprint`) that are sent at once.", minimum=1
    )
    exception_autocapture_refill_rate: int = _option(10, "Of each kind, as many more in each interval.", minimum=0)
    exception_autocapture_refill_interval_seconds: float = _option(10.0, "Seconds of that interval.", minimum=0.0)
    exception_autocapture_max_buckets: int = _option(
        1000, "Kinds of exceptions that are remembered at most, those seen last.", minimum=1
    )
    capture_exception_code_variables: bool = _option(
        False, "Send with an exception what the variables of the app's own frames held, masked."
    )
    code_variables_mask_patterns: Sequence[str] | None = _option(
        None, "Regular expressions, in any case, for names and texts whose values are hidden; None: the built-in ones."
    )
    code_variables_ignore_patterns: Sequence[str] | None = _option(
        None,
        "Regular expressions for names of variables that are left out; None: those that begin with two underscores.",
    )
    code_variables_mask_url_credentials: bool = _option(
        True, "Hide users and passwords in URLs, and authorization headers."
    )
    code_variables_detect_secrets: bool = _option(
        True, "Hide what looks like a key: by its kind, or because it looks random."
    )
    code_variables_max_bytes: int = _option(16 * 1024, "Bytes that the variables of one event may take.", minimum=0)
    code_variables_max_seconds: float = _option(
        0.5, "Seconds that reading the variables of one event may take.", minimum=0.0
    )
    capture_trace_context: bool = _option(
        False, "Put the active OpenTelemetry span's ids on every event; exceptions have them anyway."
    )
    release_id: str | None = _option(
        None,
        "The release that runs (`$release_id`), as `posthog-cli release resolve` prints it.",
        env=("POSTHOG_RELEASE_ID",),
    )

    secret_key: str = _option(
        "",
        "A secret (`phs_...`) or personal key (`phx_...`): evaluates flags in this process, and reads remote config.",
        env=("POSTHOG_SECRET_KEY", "POSTHOG_PERSONAL_API_KEY"),
    )
    enable_local_evaluation: bool = _option(True, "False: flags are always asked from the server, key or not.")
    poll_interval: float = _option(
        30.0, "Seconds between two requests for flag definitions, of all processes of a host.", minimum=0.1
    )
    flag_cold_start_seconds: float = _option(
        3.0,
        "Seconds that the first flag calls of a process wait for definitions; then the server is asked.",
        minimum=0.0,
    )
    flag_definitions_timeout_seconds: float = _option(10.0, "Seconds to wait for flag definitions.", minimum=0.001)
    flag_cache_dir: str | None = _option(
        None,
        "Folder where the processes of a host share flag definitions; one of this user's when None, not shared when ''.",
    )
    flag_definition_cache_provider: Any = _option(
        None,
        "Where the processes of all hosts share flag definitions, instead of `flag_cache_dir`: an object with the methods of `FlagDefinitionCacheProvider`.",
        env=(),
    )
    flag_fallback_cache_url: str | None = _option(
        None,
        "Where the server's answers are kept for when it is out of reach: `memory://?ttl=3600&size=10000` (seconds, persons), or `redis://...?ttl=3600`.",
    )
    feature_flags_request_timeout_seconds: float = _option(
        3.0, "Seconds to wait for an answer about flags.", minimum=0.001
    )
    feature_flags_request_max_retries: int = _option(
        1, "Further requests about flags after a failed one, a refused connection apart.", minimum=0
    )
    flag_called_max_entries: int = _option(
        50_000,
        "How many (person, flag, answer) are remembered, so that `$feature_flag_called` is sent once for each.",
        minimum=1,
    )
    flag_overrides: Mapping[str, Any] | str | None = _option(
        None, "Answers that flags are forced to: a mapping, JSON, or `new-shop,theme=dark,old-shop=false`."
    )
    flag_overrides_file: str | None = _option(
        None, "A JSON file of forced answers; read again when it changes, within a second."
    )

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "capture_mode", _choice("capture_mode", self.capture_mode))
        put(self, "capture_compression", _choice("capture_compression", self.capture_compression))
        put(self, "when_full", _choice("when_full", self.when_full))
        if isinstance(self.spool_dir, os.PathLike):
            put(self, "spool_dir", os.fspath(self.spool_dir))
        _check_types(self)
        if self.spool_dir is not None:
            put(self, "spool_dir", _absolute("spool_dir", self.spool_dir))
        put(self, "project_token", self.project_token.strip())
        put(self, "secret_key", self.secret_key.strip())
        if self.secret_key.startswith("phc_"):
            raise SettingsError(
                "secret_key is a project token (`phc_...`), which cannot read flag definitions; "
                "take a secret key (`phs_...`) or a personal key (`phx_...`) from the project's settings"
            )
        put(self, "host", _host(self.host))
        _check_fallback(self.flag_fallback_cache_url)
        provider = self.flag_definition_cache_provider
        missing = [name for name in _PROVIDER if provider is not None and not callable(getattr(provider, name, None))]
        if missing:
            raise SettingsError(
                f"flag_definition_cache_provider needs the methods {', '.join(_PROVIDER)}; {provider!r} lacks {', '.join(missing)}"
            )
        put(self, "release_id", (self.release_id or "").strip() or None)
        for name in ("code_variables_mask_patterns", "code_variables_ignore_patterns"):
            put(self, name, _patterns(name, getattr(self, name)))

    @classmethod
    def load(cls, options: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> "ClientSettings":
        """Return settings from *options*, then the environment, then the defaults.

        Raises TypeError: an option that does not exist.  Raises SettingsError: a value that cannot work.
        """
        environ = os.environ if environ is None else environ
        options = {
            _POSTHOG_NAMES.get(name, name): value
            for name, value in options.items()
            if value is not None or name not in _POSTHOG_NONE
        }
        fields = {f.name: f for f in dataclasses.fields(cls)}
        unknown = [name for name in options if name not in fields]
        if unknown:
            raise TypeError(f"PostHog() has no option {unknown[0]!r}; it knows {', '.join(sorted(fields))}")
        # None for a text is what `os.environ.get()` says of a variable that is not set.
        values = {
            name: value
            for name, value in options.items()
            if value is not None or not isinstance(fields[name].default, str)
        }
        for name, declared in fields.items():
            if name in values:
                continue
            for variable in environment_variables(declared):
                if environ.get(variable, "").strip():
                    values[name] = _parse(declared, environ[variable].strip(), variable)
                    break
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExceptionCapture:
    """Which exceptions of a request become events."""

    min_status_to_capture: int = 500
    """HTTP exceptions that answer with a lower status are not captured."""
    handled: Handled = "capture"
    """Exceptions that a registered handler turned into a response: "capture" them, judge them "by_status", or "ignore"."""
    ignore: tuple[type[BaseException], ...] = ()
    """Classes that are never captured, subclasses included."""

    def __post_init__(self) -> None:
        if isinstance(self.min_status_to_capture, bool) or not isinstance(self.min_status_to_capture, int):
            raise SettingsError(f"min_status_to_capture must be an HTTP status, got {self.min_status_to_capture!r}")
        if self.handled not in get_args(Handled):
            raise SettingsError(f"handled must be one of {', '.join(get_args(Handled))}, got {self.handled!r}")
        ignore = self.ignore if isinstance(self.ignore, tuple | list | set | frozenset) else (self.ignore,)
        for kind in ignore:
            if not (isinstance(kind, type) and issubclass(kind, BaseException)):
                raise SettingsError(f"ignore takes exception classes, got {kind!r}")
        object.__setattr__(self, "ignore", tuple(ignore))


@dataclass(frozen=True, slots=True, kw_only=True)
class InterceptorSettings:
    """What every `PostHogInterceptor` can be told, whatever the framework.

    Raises SettingsError: a value that cannot work. TypeError, from the constructor: an option that does not exist.
    """

    client: Any = _option(
        None, "Where captured exceptions go; the default client when None. Context serves every client."
    )
    capture_exceptions: bool | ExceptionCapture | None = _option(
        False, "`True`, or an `ExceptionCapture(...)` that says which exceptions become events."
    )
    distinct_id: Callable[[Any], Any] | None = _option(
        None, "Called with the framework's request; returns the signed-in user's id or None. Wins over the header."
    )
    identity_headers: bool = _option(
        True, "Read `X-POSTHOG-DISTINCT-ID`; False where strangers must not choose whom an event belongs to."
    )
    read_cookie: bool = _option(
        False, "With no tracing headers, read session and identified person from posthog-js's first-party cookie."
    )
    trusted_proxies: int | Sequence[str | Network] | None = _option(
        None, "How many proxies are ours (hops), or their networks; None takes X-Forwarded-For's first address."
    )
    address_header: AddressHeader = _option(
        "x-forwarded-for",
        "The header in which proxies say whom they serve: 'x-forwarded-for', 'forwarded', 'x-real-ip' or 'cf-connecting-ip'.",
    )
    cookie_idle_seconds: int = _option(
        30 * 60, "Seconds after which `read_cookie` counts a session without activity as over: 60 to 36000, as posthog-js.",
        minimum=60,
    )  # fmt: skip
    secret_parameters: Sequence[str] = _option(
        (), "More names of query parameters whose values `url_query='redact'` masks."
    )
    url_query: UrlQuery = _option("redact", "`$current_url`'s query: 'redact' masks secrets, 'keep', or 'drop'.")
    request_filter: Callable[[Any], Any] | None = _option(
        None, "Called with the framework's request; returning False leaves this request alone entirely."
    )
    properties: Callable[[Any], Mapping[str, Any] | None] | None = _option(
        None, "Called with the framework's request; returns more properties for every event of the request."
    )

    def __post_init__(self) -> None:
        put = object.__setattr__
        capture = self.capture_exceptions
        if capture is True:
            put(self, "capture_exceptions", ExceptionCapture())
        elif capture is False or capture is None:
            put(self, "capture_exceptions", None)
        elif not isinstance(capture, ExceptionCapture):
            raise SettingsError(f"capture_exceptions must be True, False or an ExceptionCapture, got {capture!r}")
        if self.url_query not in get_args(UrlQuery):
            raise SettingsError(f"url_query must be one of {', '.join(get_args(UrlQuery))}, got {self.url_query!r}")
        for name in ("distinct_id", "request_filter", "properties"):
            value = getattr(self, name)
            if value is not None and not callable(value):
                raise SettingsError(f"{name} must be a function that takes the request, got {value!r}")
        header = self.address_header.lower() if isinstance(self.address_header, str) else self.address_header
        if header not in get_args(AddressHeader):
            known = ", ".join(get_args(AddressHeader))
            raise SettingsError(f"address_header must be one of {known}, got {self.address_header!r}")
        put(self, "address_header", header)
        idle_s = self.cookie_idle_seconds
        if isinstance(idle_s, bool) or not isinstance(idle_s, int) or not 60 <= idle_s <= _LONGEST_IDLE_S:
            raise SettingsError(
                f"cookie_idle_seconds must be a whole number from 60 to {_LONGEST_IDLE_S}, got {idle_s!r}"
            )
        names = (self.secret_parameters,) if isinstance(self.secret_parameters, str) else tuple(self.secret_parameters)
        if not all(isinstance(name, str) for name in names):
            raise SettingsError(f"secret_parameters takes names of query parameters, got {self.secret_parameters!r}")
        put(self, "secret_parameters", names)
        put(self, "trusted_proxies", _proxies(self.trusted_proxies))

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


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSettings:
    """What every queue's `PostHogPropagation` can be told.

    Raises SettingsError: a value that cannot work. TypeError, from the constructor: an option that does not exist.
    """

    client: Any = _option(
        None, "Where the tasks' exceptions go; the default client when None. Context serves every client."
    )
    capture_exceptions: bool = _option(True, "Capture what a task raises, once, when no further attempt follows.")
    every_attempt: bool = _option(False, "Capture what an attempt raises also when the task will be tried again.")
    ignore: Sequence[type[BaseException]] = _option(
        (), "Exception classes that are never captured, subclasses included."
    )
    tags: Sequence[str] = _option((), "Names of the context's tags that travel with a task; the others stay behind.")
    max_carrier_bytes: int = _option(
        4096, "Bytes of what is added to a message at most; properties that do not fit are left out.", minimum=256
    )

    def __post_init__(self) -> None:
        _check_types(self)
        put = object.__setattr__
        kinds = self.ignore if isinstance(self.ignore, tuple | list | set | frozenset) else (self.ignore,)
        for kind in kinds:
            if not (isinstance(kind, type) and issubclass(kind, BaseException)):
                raise SettingsError(f"ignore takes exception classes, got {kind!r}")
        put(self, "ignore", tuple(kinds))
        tags = (self.tags,) if isinstance(self.tags, str) else tuple(self.tags)
        if not all(isinstance(tag, str) for tag in tags):
            raise SettingsError(f"tags takes the names of tags, got {self.tags!r}")
        put(self, "tags", tags)


def environment_variables(declared: "dataclasses.Field[Any]") -> tuple[str, ...]:
    """Return the variables that set the client option *declared*, the first that is set wins."""
    other = declared.metadata["env"]
    if other == ():
        return ()
    return (f"HOGLINE_{declared.name.upper()}", *(other or ()))


def _check_types(settings: "ClientSettings | TaskSettings") -> None:
    for declared in dataclasses.fields(settings):
        value, default = getattr(settings, declared.name), declared.default
        minimum = declared.metadata["minimum"]
        if isinstance(default, bool):
            right: bool = isinstance(value, bool)
            wanted = "True or False"
        elif minimum is not None:
            whole = isinstance(default, int)
            right = (
                isinstance(value, int if whole else int | float)
                and not isinstance(value, bool)
                and (value >= minimum if whole else minimum <= value <= LONGEST_WAIT_S)
            )
            wanted = f"a {'whole ' if whole else ''}number of at least {minimum:g}"
            if not whole:
                wanted += f", and at most {LONGEST_WAIT_S:.0f} seconds (24 days)"
        elif isinstance(default, str):
            right, wanted = isinstance(value, str), "a string"
        elif declared.name in ("release_id", "flag_cache_dir", "flag_fallback_cache_url", "flag_overrides_file"):
            right, wanted = value is None or isinstance(value, str), "a string"
        elif declared.name == "spool_dir":
            right, wanted = value is None or (isinstance(value, str) and value != ""), "a folder's path"
        elif declared.name in ("before_send", "on_drop", "on_error"):
            right, wanted = value is None or callable(value), "a function"
        elif declared.name == "super_properties":
            right, wanted = value is None or isinstance(value, Mapping), "a mapping"
        else:
            continue
        if not right:
            raise SettingsError(f"{declared.name} must be {wanted}, got {value!r}")


def _check_fallback(url: str | None) -> None:
    if not url:
        return
    parts = urlsplit(url)
    numbers = [part.partition("=")[2] for part in parts.query.split("&") if part]
    if parts.scheme not in ("memory", "redis", "rediss") or not all(number.isdecimal() for number in numbers):
        # Not the value itself: it may hold a password.
        raise SettingsError(
            "flag_fallback_cache_url must be 'memory://?ttl=3600&size=10000', or redis://host:6379/0?ttl=3600, "
            f"got one that begins with {parts.scheme + '://'!r}"
        )
    if parts.scheme != "memory":
        from importlib.util import find_spec

        if find_spec("redis") is None:
            raise SettingsError("flag_fallback_cache_url with Redis needs a package: pip install redis")


def _absolute(name: str, value: str) -> str:
    """Return the path as it is now: neither `chdir` nor a fork moves it later."""
    try:
        return os.path.abspath(value)  # noqa: PTH100 - no pathlib here
    except OSError as error:
        raise SettingsError(f"{name}={value!r} is relative, and there is no current folder ({error})") from error


def _choice(name: str, value: Any) -> Any:
    """Return *value* as one of the option's words. An enum counts by its value: posthog-python has one for some.

    Raises SettingsError: it is none of them, or it needs a package that is not installed.
    """
    value = getattr(value, "value", value)
    words = _CHOICES[name]
    if value is None and name == "capture_compression":
        return None
    if not isinstance(value, str) or value.strip().lower() not in words:
        raise SettingsError(f"{name} must be one of {', '.join(dict.fromkeys(words.values()))}, got {value!r}")
    chosen = words[value.strip().lower()]
    if chosen == "zstd" and not _zstd_is_there():
        raise SettingsError("capture_compression='zstd' needs Python 3.14, or: pip install backports.zstd")
    return chosen


def _zstd_is_there() -> bool:
    from hogline.zstd import zstd_compressor

    return zstd_compressor() is not None


def _parse(declared: "dataclasses.Field[Any]", text: str, variable: str) -> Any:
    default = declared.default
    if declared.name in _LENIENT:
        try:
            return _choice(declared.name, text)
        except SettingsError as error:
            _log.warning("hogline: %s (from %s); it is %r instead", error, variable, default)
            return default
    try:
        if isinstance(default, bool):
            lowered = text.lower()
            if lowered not in _TRUE | _FALSE:
                raise ValueError(text)
            return lowered in _TRUE
        if isinstance(default, int):
            return int(text)
        if isinstance(default, float):
            return float(text)
        if isinstance(default, tuple):
            return tuple(part.strip() for part in text.split(",") if part.strip())
    except ValueError:
        kind = {bool: "true or false", int: "a whole number", float: "a number"}[type(default)]
        raise SettingsError(f"{declared.name} must be {kind}, got {text!r} (from {variable})") from None
    return text


def _patterns(name: str, value: Any) -> tuple[str, ...] | None:
    """Return regular expressions; from a text (the environment's), those between its commas."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if value is None:
        return None
    try:
        return tuple(re.compile(pattern).pattern for pattern in value)
    except (TypeError, re.error) as error:
        raise SettingsError(f"{name} must be a list of regular expressions, got {value!r}: {error}") from error


def _host(value: str) -> str:
    """Return the base URL without a trailing slash; app addresses become ingestion addresses."""
    text = value.strip().rstrip("/")
    if not text:
        return DEFAULT_HOST
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise SettingsError(
            f"host must be a URL such as https://posthog.example.com:8000, got {value!r}: {error}"
        ) from None
    if port == 0:
        raise SettingsError(f"host must have a port from 1 to 65535, or none, got {value!r}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        hint = "" if "://" in text else f"; did you mean 'https://{text}'?"
        raise SettingsError(f"host must start with http:// or https://, got {value!r}{hint}")
    return _INGESTION_HOSTS.get(text, text)


def _proxies(value: Any) -> int | tuple[Network, ...] | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    if isinstance(value, str):
        value = (value,)
    try:
        return tuple(ipaddress.ip_network(item, strict=False) for item in value)
    except (TypeError, ValueError) as error:
        raise SettingsError(
            f"trusted_proxies must be None, a number of hops, or networks such as ['10.0.0.0/8'], got {value!r}"
        ) from error
