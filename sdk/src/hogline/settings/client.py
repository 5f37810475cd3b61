"""The options of a client. Those that posthog-python has too keep its names and units."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from hogline.settings.absent import without_absent
from hogline.settings.client_kinds import (
    CacheProvider,
    Compression,
    FallbackCacheUrl,
    FlagOverrides,
    Host,
    Patterns,
    SecretKey,
    TransportOrNone,
)
from hogline.settings.deployment import find_environment, find_release
from hogline.settings.git_commit import find_commit
from hogline.settings.options import (
    LONGEST_WAIT_S,
    Bytes,
    Callback,
    Choice,
    Kind,
    MappingOf,
    Names,
    Path,
    Seconds,
    Switch,
    Text,
    UnfitError,
    Whole,
    check_options,
    known_options,
    option,
    read_environment,
)
from hogline.transports import Transport

__all__ = [
    "LONGEST_WAIT_S",
    "CaptureCompression",
    "CaptureMode",
    "ClientOption",
    "ClientSettings",
    "WhenFull",
]

DEFAULT_HOST = "https://us.i.posthog.com"

WhenFull: TypeAlias = Literal["drop_newest", "drop_oldest", "block"]
CaptureMode: TypeAlias = Literal["v0", "v1"]
CaptureCompression: TypeAlias = Literal["none", "gzip", "deflate", "zstd"]
Event: TypeAlias = dict[str, Any]

_WHEN_FULL = {"drop_newest": "drop_newest", "drop_oldest": "drop_oldest", "block": "block"}
# Source: docs/internals/capture-protocol.md#capture-v1.
_CAPTURE_MODES = {"v0": "v0", "legacy": "v0", "v1": "v1", "analytics_v1": "v1"}
_COMPRESSIONS = {"none": "none", "identity": "none", "gzip": "gzip", "deflate": "deflate", "zstd": "zstd"}

# posthog-python's names for options that have another name here.
_POSTHOG_NAMES = {
    "personal_api_key": "secret_key",
    "enable_exception_autocapture": "capture_exceptions",
    "in_app_modules": "in_app_include",
}
# Options for which None means that they are not set: in posthog-python, and those that are detected.
_NONE_IS_UNSET = {
    "code_variables_detect_secrets",
    "code_variables_mask_url_credentials",
    "environment",
    "in_app_include",
    "release",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """The options of a `PostHog` client.

    Raises SettingsError: a value that cannot work, with where it came from and what to write
    instead.
    """

    project_token: str = option(
        Text(), "", "The project's token (`phc_...`). Empty: the client is disabled.", env=("POSTHOG_API_KEY",)
    )
    host: str = option(
        Host(), DEFAULT_HOST, "Where events go: PostHog Cloud, or your own instance's URL.", env=("POSTHOG_HOST",)
    )
    disabled: bool = option(Switch(), False, "True: nothing is sent; `capture()` returns None.")
    send: bool = option(
        Switch(),
        True,
        "False: ids are returned as usual, and no event leaves the process. Flags are still asked about.",
    )
    debug: bool = option(
        Switch(), False, "True: log each batch, and raise errors at the caller instead of counting them."
    )
    flush_at: int = option(Whole(1), 100, "Number of waiting events at which a batch is sent at once.")
    flush_interval: float = option(Seconds(0.0), 5.0, "Longest time an event waits for its batch to fill, in seconds.")
    max_queue_size: int = option(Whole(1), 10_000, "Largest number of events that wait in memory.")
    max_queue_bytes: int = option(Bytes(1), 64 * 1024 * 1024, "Largest number of bytes that wait in memory.")
    when_full: WhenFull = option(
        Choice(_WHEN_FULL),
        "drop_newest",
        "What a full queue does: 'drop_newest' refuses the new event, 'drop_oldest' drops the one that has waited longest, 'block' makes `capture()` wait.",
    )
    when_full_timeout: float = option(
        Seconds(0.0),
        1.0,
        "Longest time `capture()` waits for room with `when_full='block'`, in seconds; then the event is refused.",
    )
    spool_dir: str | None = option(
        Path(),
        None,
        "Folder where events wait on disk: they survive the death of the process and outages of any length.",
    )
    spool_max_bytes: int = option(
        Bytes(64 * 1024),
        256 * 1024 * 1024,
        "Largest number of bytes on disk, over all processes that share the folder.",
    )
    max_event_bytes: int = option(
        Bytes(1), 900 * 1024, "Largest size of one event as JSON, in bytes; a larger one is dropped and counted."
    )
    max_batch_bytes: int = option(
        Bytes(1), 5 * 1024 * 1024, "Largest size of one request's body before compression, in bytes."
    )
    gzip: bool = option(Switch(), True, "Compress request bodies.")
    capture_mode: CaptureMode = option(
        Choice(_CAPTURE_MODES, is_lenient=True),
        "v0",
        "'v1' sends to the endpoint that answers for each event, 'v0' to `/batch/`.",
        env=("POSTHOG_CAPTURE_MODE",),
    )
    capture_compression: CaptureCompression | None = option(
        Compression(_COMPRESSIONS, optional=True, is_lenient=True),
        None,
        "How v1 bodies are compressed: 'none', 'gzip', 'deflate' or 'zstd'; None follows `gzip`.",
        env=("POSTHOG_CAPTURE_COMPRESSION",),
    )
    timeout: float = option(
        Seconds(0.001), 15.0, "Longest wait for the server, for connecting and for each read, in seconds."
    )
    max_retries: int = option(Whole(0), 3, "Retries after a failed request; 3 means four requests.")
    shutdown_timeout: float = option(Seconds(0.0), 10.0, "Longest time that the flush at exit may take, in seconds.")
    disable_geoip: bool = option(Switch(), True, "Ask the server not to derive a place from the IP address.")
    is_server: bool = option(Switch(), True, "Mark events as sent by a server (`$is_server`).")
    historical_migration: bool = option(
        Switch(), False, "The events are old ones being moved; the server handles them with low priority."
    )
    transport: Transport | None = option(
        TransportOrNone(),
        None,
        "An object with `send(request)` and `close()` that sends batches; None sends them over HTTP.",
        env=(),
    )
    super_properties: Mapping[str, Any] | None = option(
        MappingOf(), None, "Properties for every event; the context's and the caller's win over them.", env=()
    )
    before_send: Callable[[Event], Event | None] | None = option(
        Callback(), None, "Called with each assembled event; returns it, a changed one, or None to drop it.", env=()
    )
    on_drop: Callable[[str, Event | None], None] | None = option(
        Callback(),
        None,
        "Called whenever an event is lost, with the reason, and the event if it is still known.",
        env=(),
    )
    on_error: Callable[[Exception, list[Event]], None] | None = option(
        Callback(),
        None,
        "Called on the worker's thread with the error and the events of a batch that was dropped.",
        env=(),
    )
    redact_messages: bool = option(
        Switch(),
        True,
        "Mask secrets in exceptions' messages: those of URLs, and whatever has the shape of a token or key.",
    )
    project_root: str | None = option(
        Path(), None, "Folder of the app's own code, for `in_app`; the working directory when None."
    )
    in_app_include: Sequence[str] = option(
        Names("module names"), (), "Dotted prefixes of modules that always are the app's own code."
    )
    in_app_exclude: Sequence[str] = option(
        Names("module names"), (), "Dotted prefixes of modules that never are the app's own code."
    )
    capture_exceptions: bool = option(
        Switch(),
        False,
        "Capture exceptions that nothing caught: in the main thread, threads, finalizers, and asyncio's callbacks and tasks.",
    )
    log_captured_exceptions: bool = option(
        Switch(), False, "Log each exception that is captured, with its traceback (logger `hogline`, ERROR)."
    )
    enable_exception_autocapture_rate_limiting: bool = option(
        Switch(),
        False,
        "Hold back exceptions of one kind that come too often; what you capture by hand is never held back.",
    )
    exception_autocapture_bucket_size: int = option(
        Whole(1),
        50,
        "Number of exceptions of one kind (same types and places, or same `$exception_fingerprint`) that may be sent at once.",
    )
    exception_autocapture_refill_rate: int = option(
        Whole(0), 10, "Number of further exceptions of each kind that may be sent in each interval."
    )
    exception_autocapture_refill_interval_seconds: float = option(
        Seconds(0.0), 10.0, "Length of that interval, in seconds."
    )
    exception_autocapture_max_buckets: int = option(
        Whole(1), 1000, "Largest number of kinds that are remembered; the one not seen for longest is forgotten first."
    )
    capture_exception_code_variables: bool = option(
        Switch(), False, "Send the local variables of the app's own frames with an exception, masked."
    )
    code_variables_mask_patterns: Sequence[str] | None = option(
        Patterns(),
        None,
        "Regular expressions, in any case, for names and texts whose values are hidden; None: the built-in ones.",
    )
    code_variables_ignore_patterns: Sequence[str] | None = option(
        Patterns(),
        None,
        "Regular expressions for names of variables that are left out; None: those that begin with two underscores.",
    )
    code_variables_mask_url_credentials: bool = option(
        Switch(), True, "Hide users and passwords in URLs, and authorization headers."
    )
    code_variables_detect_secrets: bool = option(
        Switch(), True, "Hide values that look like keys: by their format, or because they look random."
    )
    code_variables_max_bytes: int = option(Bytes(0), 16 * 1024, "Largest size of the variables of one event, in bytes.")
    code_variables_max_seconds: float = option(
        Seconds(0.0), 0.5, "Longest time that reading the variables of one event may take, in seconds."
    )
    capture_trace_context: bool = option(
        Switch(), False, "Put the active OpenTelemetry span's ids on every event; exceptions always have them."
    )
    release: str | None = option(
        Text(optional=True),
        None,
        "Version of the app that runs (`$release`). None: a variable of the platform, or the git commit, if there is one. '': none.",
        env=("POSTHOG_RELEASE",),
    )
    environment: str | None = option(
        Text(optional=True),
        None,
        "Where the app runs, such as `production` (`$environment`). None: a variable of the platform, if there is one. '': none.",
        env=("POSTHOG_ENVIRONMENT",),
    )
    detect_deployment: bool = option(
        Switch(), True, "False: `release` and `environment` are only what you set, in code or in their own variables."
    )
    release_id: str | None = option(
        Text(optional=True),
        None,
        "The release that runs (`$release_id`), as `posthog-cli release resolve` prints it.",
        env=("POSTHOG_RELEASE_ID",),
    )
    secret_key: str = option(
        SecretKey(),
        "",
        "A secret (`phs_...`) or personal key (`phx_...`): evaluates flags in this process, and reads remote config.",
        env=("POSTHOG_SECRET_KEY", "POSTHOG_PERSONAL_API_KEY"),
    )
    enable_local_evaluation: bool = option(Switch(), True, "False: the server evaluates all flags, even with a key.")
    poll_interval: float = option(
        Seconds(0.1), 30.0, "Seconds between two requests for flag definitions, counted over all processes of a host."
    )
    flag_cold_start_seconds: float = option(
        Seconds(0.0),
        3.0,
        "Longest time that the first flag calls of a process wait for definitions, in seconds; then the server evaluates.",
    )
    flag_definitions_timeout_seconds: float = option(
        Seconds(0.001), 10.0, "Longest wait for flag definitions, in seconds."
    )
    flag_cache_dir: str | None = option(
        Path(is_empty_allowed=True),
        None,
        "Folder where the processes of a host share flag definitions. None: a temporary folder of this user. '': not shared.",
    )
    flag_definition_cache_provider: Any = option(
        CacheProvider(),
        None,
        "Where the processes of all hosts share flag definitions, instead of `flag_cache_dir`: an object with the methods of `FlagDefinitionCacheProvider`.",
        env=(),
    )
    flag_fallback_cache_url: str | None = option(
        FallbackCacheUrl(optional=True),
        None,
        "Where the server's answers are kept for times when it cannot be reached: `memory://?ttl=3600&size=10000` (seconds, persons), or `redis://...?ttl=3600`.",
    )
    feature_flags_request_timeout_seconds: float = option(
        Seconds(0.001), 3.0, "Longest wait for the server's evaluation of flags, in seconds."
    )
    feature_flags_request_max_retries: int = option(
        Whole(0), 1, "Retries of a failed request about flags; a refused connection is not retried."
    )
    flag_called_max_entries: int = option(
        Whole(1),
        50_000,
        "Number of (person, flag, value) that are remembered, so that `$feature_flag_called` is sent once for each.",
    )
    flag_overrides: Mapping[str, Any] | str | None = option(
        FlagOverrides(),
        None,
        "Values that flags are forced to: a mapping, JSON, or `new-shop,theme=dark,old-shop=false`.",
    )
    flag_overrides_file: str | None = option(
        Path(what="a file's path"), None, "A JSON file of forced values; read again within a second of a change."
    )

    def __post_init__(self) -> None:
        check_options(self)

    @classmethod
    def load(cls, options: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> "ClientSettings":
        """Return settings from *options*, then the environment, then the defaults.

        Raises TypeError: an option that does not exist.  Raises SettingsError: a value that cannot
        work.
        """
        environ = os.environ if environ is None else environ
        given = _by_own_names(without_absent(options))
        known = known_options(cls, "PostHog()", given)
        values = {
            name: value
            for name, value in given.items()
            if value is not None or not _is_unset(known[name].default, name)
        }
        for name, declared in known.items():
            if name not in values and (found := read_environment(declared, environ)) is not None:
                values[name] = found[0]
        if values.get("detect_deployment") is not False:
            _detect_deployment(values, environ)
        return cls(**values)


def _by_own_names(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return *options* under the names they have here.

    The own name wins over posthog-python's where both are set.
    """
    own = {name: value for name, value in options.items() if name not in _POSTHOG_NAMES}
    for other, name in _POSTHOG_NAMES.items():
        if other in options and own.get(name) is None:
            own[name] = options[other]
    return own


def _detect_deployment(values: dict[str, Any], environ: Mapping[str, str]) -> None:
    """Add the release and the environment that *values* leave open, where they can be found."""
    if "release" not in values:
        values["release"] = find_release(environ) or find_commit(_project_root(values))
    if "environment" not in values:
        values["environment"] = find_environment(environ)


def _project_root(values: Mapping[str, Any]) -> str:
    """Return the folder of the app's own code; the name is checked later, with the other options."""
    root = values.get("project_root")
    try:
        return os.path.abspath(root if isinstance(root, str | os.PathLike) else os.getcwd())  # noqa: PTH100, PTH109
    except OSError:  # the working directory was deleted
        return os.sep


def _is_unset(default: Any, name: str) -> bool:
    """Return whether None leaves the option *name* open.

    `os.environ.get()` returns None for a variable that is not set.
    """
    return isinstance(default, str) or name in _NONE_IS_UNSET


class ClientOption(Kind):
    """A `hogline.PostHog`, or None. Recognised by its settings: this package knows no client."""

    def check(self, value: Any) -> Any:
        """Return the client."""
        if value is not None and not isinstance(getattr(value, "settings", None), ClientSettings):
            kind = type(value)
            raise UnfitError(
                "be a hogline.PostHog",
                shown=f"{kind.__module__}.{kind.__qualname__}",
                hint="; did you mean `from hogline import PostHog`?",
            )
        return value
