"""Policy: the options of one interceptor, and the client it sends exceptions to."""

import logging
from collections.abc import Callable, Iterable
from typing import Any

from hogline.exchange.recorder import Recorder
from hogline.redaction import plain_name
from hogline.settings import ExceptionCapture, InterceptorSettings, Network

__all__ = ["Policy"]

_log = logging.getLogger("hogline")


class Policy:
    """One interceptor's settings, their client, and which failures were logged already."""

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
        # Whether the first address of the list is taken for the visitor's, although visitors can forge it.
        self.believes_visitors: bool = self.trusted_proxies is None and settings.address_header != "forwarded"
        self.secret_names: frozenset[str] = frozenset(map(plain_name, settings.secret_parameters))
        self.source: str = source  # `$exception_source`, "<framework>.interceptor"
        self._client = client
        self._complained: set[str] = set()

    @property
    def client(self) -> Recorder:
        """The client of the settings, else the default client."""
        return self._client()

    def call(self, name: str, request: Any) -> Any:
        """Return what the app's callback *name* returns for *request*; an error is logged once and gives None."""
        callback = getattr(self.settings, name)
        if callback is None:
            return None
        try:
            answer = callback(request)
            # Inside the guard: a lazy object evaluates itself here and may fail.
            if not hasattr(answer, "__await__"):
                return answer
            if hasattr(answer, "close"):
                answer.close()
        except Exception as error:
            self.complain(name, error)
            return None
        self.complain(name, TypeError("it is asynchronous, but this framework's interceptor calls it synchronously"))
        return None

    def check_preflight(self, asked: str | None, origin: str | None, answer: Iterable[tuple[str, str]]) -> None:
        """Log once which tracing headers a CORS preflight asked for and the *answer*'s headers do not allow."""
        if not asked or "cors" in self._complained:
            return
        from hogline.facts import cors  # imported lazily: most apps never see such a preflight

        try:
            refused = cors.refused(asked, answer)
        except Exception as error:  # headers may hold anything that the server lets pass
            self.complain("preflight", error)
            return
        if refused:
            self._complained.add("cors")
            _log.warning(
                "hogline: the answer to a CORS preflight from %s does not allow %s, so the browser drops its requests; "
                "allow the headers: %s (logged once)",
                origin or "a browser",
                ", ".join(refused),
                cors.advice(self.source.partition(".")[0]),
            )

    def lose_exception(self, error: BaseException) -> None:
        """Count an exception that could not be captured because of *error*; the client logs why. Never raises."""
        try:
            self.client.lost("exception capture", error)
        except Exception:  # the default client cannot be made
            self.complain("exception capture", error)

    def complain(self, name: str, error: BaseException) -> None:
        """Log a failure of *name*, once for each interceptor."""
        if name not in self._complained:
            self._complained.add(name)
            _log.warning("hogline: the interceptor's %s failed and is skipped: %r (logged once)", name, error)
