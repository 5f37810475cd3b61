"""What one interceptor was told, the client it speaks for, and an exception as it was seen under these rules."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from hogline.context import Context
from hogline.redaction import plain_name
from hogline.settings import ExceptionCapture, InterceptorSettings, Network
from hogline.tracebacks import Mechanism

__all__ = ["Policy", "Recorder", "Sighting"]

_log = logging.getLogger("hogline")


class Recorder(Protocol):
    """What an exchange needs of a client."""

    project_token: str

    def flush(self, timeout_seconds: float | None = 10.0) -> bool:
        """Send what waits."""

    async def aflush(self, timeout_seconds: float | None = 10.0) -> bool:
        """Send what waits."""

    def snapshot_exception(self, error: BaseException, mechanism: Mechanism) -> list[dict[str, Any]]:
        """Return `$exception_list` for *error* as it stands now."""

    def record_exception(self, sighting: "Sighting", properties: Mapping[str, Any]) -> None:
        """Send the `$exception` event of a sighting."""

    def refuse_exception(self) -> None:
        """Count an exception that found no room among those that wait for their request's status."""

    def lost(self, what: str, error: BaseException) -> None:
        """Count an event that a failure kept from being made, and log the failure."""


class Policy:
    """One interceptor's settings, with the client they belong to and the complaints it has made already."""

    __slots__ = (
        "_client",
        "_complained",
        "believes_visitors",
        "exceptions",
        "secret_names",
        "settings",
        "source",
        "trusted_proxies",
    )

    def __init__(self, settings: InterceptorSettings, client: Callable[[], Recorder], source: str) -> None:
        self.settings: InterceptorSettings = settings
        self.exceptions: ExceptionCapture | None = settings.exceptions
        self.trusted_proxies: int | tuple[Network, ...] | None = settings.proxies
        # Whether the first address of a plain list, as the visitor sends it, is the visitor's.
        self.believes_visitors: bool = self.trusted_proxies is None and settings.address_header != "forwarded"
        self.secret_names: frozenset[str] = frozenset(map(plain_name, settings.secret_parameters))
        self.source: str = source  # `$exception_source`, "<framework>.interceptor"
        self._client = client
        self._complained: set[str] = set()

    @property
    def client(self) -> Recorder:
        """The client of these settings, or the default one."""
        return self._client()

    def call(self, name: str, request: Any) -> Any:
        """Return what the user's callback *name* says of *request*; an error is logged once and counts as None."""
        callback = getattr(self.settings, name)
        if callback is None:
            return None
        try:
            answer = callback(request)
            # Asked inside: a lazy object makes itself here, and may fail.
            if not hasattr(answer, "__await__"):
                return answer
            if hasattr(answer, "close"):
                answer.close()
        except Exception as error:
            self.complain(name, error)
            return None
        self.complain(name, TypeError("it is asynchronous, and this framework's interceptor asks it synchronously"))
        return None

    def check_preflight(self, asked: str | None, origin: str | None, answer: Iterable[tuple[str, str]]) -> None:
        """Say once which tracing headers a CORS preflight asked for and the *answer*'s headers do not allow."""
        if not asked or "cors" in self._complained:
            return
        from hogline.facts import cors  # few apps are ever asked

        try:
            refused = cors.refused(asked, answer)
        except Exception as error:  # headers that the server let pass, and we cannot read
            self.complain("preflight", error)
            return
        if refused:
            self._complained.add("cors")
            _log.warning(
                "hogline: the answer to a CORS preflight from %s does not allow %s, so that browser gives up its requests; "
                "allow them: %s (logged once)",
                origin or "a browser",
                ", ".join(refused),
                cors.advice(self.source.partition(".")[0]),
            )

    def lose_exception(self, error: BaseException) -> None:
        """Count an exception that *error*, a failure of ours, kept from being captured; the client logs why. Never raises."""
        try:
            self.client.lost("exception capture", error)
        except Exception:  # there is no client to be had
            self.complain("exception capture", error)

    def complain(self, name: str, error: BaseException) -> None:
        """Log a failure of *name*, once for each interceptor."""
        if name not in self._complained:
            self._complained.add(name)
            _log.warning("hogline: the interceptor's %s failed and is skipped: %r (logged once)", name, error)


@dataclass(slots=True)
class Sighting:
    """An exception that was seen, kept until the status of its response is known."""

    error: BaseException
    entries: list[dict[str, Any]]
    source: str
    policy: Policy
    context: Context | None
    status: int | None
    handled: bool
    stamp_ns: int
    span: Mapping[str, str]
    """The OpenTelemetry span that was active."""
