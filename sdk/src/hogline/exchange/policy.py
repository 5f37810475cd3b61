"""Policy: the options of one interceptor, and the client it sends exceptions to."""

from collections.abc import Callable, Iterable
from typing import Any

from hogline.exchange.recorder import Recorder
from hogline.guard import guard
from hogline.log_throttle import ONCE, ThrottledLog
from hogline.redaction import plain_name
from hogline.settings import ExceptionCapture, InterceptorSettings, Network

__all__ = ["FLUSH_S", "Policy"]

FLUSH_S = 5.0
"""Longest time a flush may take, in seconds.

Servers and platforms wait little longer before they kill.
"""


class Policy:
    """One interceptor's settings, their client, and which failures were logged already."""

    __slots__ = (
        "_client",
        "_throttled",
        "believes_visitors",
        "exceptions",
        "reads_at_once",
        "secret_names",
        "settings",
        "source",
        "trusted_proxies",
    )

    def __init__(self, settings: InterceptorSettings, client: Callable[[], Recorder], source: str) -> None:
        self.settings: InterceptorSettings = settings
        self.exceptions: ExceptionCapture | None = settings.exceptions
        self.trusted_proxies: int | tuple[Network, ...] | None = settings.proxies
        # Whether the first address of the list is taken for the visitor's, although visitors can
        # forge it.
        self.believes_visitors: bool = self.trusted_proxies is None and settings.address_header != "forwarded"
        # Whether a request's facts cannot be made later: callbacks and cookies need the request.
        self.reads_at_once: bool = (
            settings.distinct_id is not None or settings.properties is not None or settings.read_cookie
        )
        self.secret_names: frozenset[str] = frozenset(map(plain_name, settings.secret_parameters))
        self.source: str = source  # `$exception_source`, "<framework>.interceptor"
        self._client = client
        self._throttled = ThrottledLog(ONCE)

    @property
    def client(self) -> Recorder:
        """The client of the settings, else the default client."""
        return self._client()

    def call(self, name: str, request: Any) -> Any:
        """Return the result of the app's callback *name*.

        An error in it is logged once and gives None.
        """
        callback = getattr(self.settings, name)
        if callback is None:
            return None
        with guard(name, self.complain):
            answer = callback(request)
            # Inside the guard: a lazy object evaluates itself here and may fail.
            if not hasattr(answer, "__await__"):
                return answer
            if hasattr(answer, "close"):
                answer.close()
            raise TypeError("it is asynchronous, but this framework's interceptor calls it synchronously")
        return None

    def check_preflight(self, asked: str | None, origin: str | None, answer: Iterable[tuple[str, str]]) -> None:
        """Log once which tracing headers a CORS answer does not allow.

        A browser's preflight asked for them, and *answer* holds the app's CORS headers.
        """
        if not asked or not self._throttled.is_due("cors"):
            return
        from hogline.facts import cors  # imported lazily: most apps never see such a preflight

        refused: list[str] = []
        # Headers may hold anything that the server lets pass.
        with guard("preflight", self.complain):
            refused = cors.refused(asked, answer)
        if refused:
            self._throttled.warning(
                "cors",
                "the answer to a CORS preflight from %s does not allow %s, so the browser drops its requests; "
                "allow the headers: %s (logged once)",
                origin or "a browser",
                ", ".join(refused),
                cors.advice(self.source.partition(".")[0]),
            )

    def warn_of_late_use(self) -> None:
        """Log once that a task or thread keeps the visitor of a request that ended long ago."""
        self._throttled.warning(
            "late use",
            "an event has the visitor of a request that ended long ago, since a task or thread that the request "
            "started lives on; begin a context of its own there, with hogline.new_context(fresh=True) or "
            "hogline.context_from_headers(headers) (logged once)",
        )

    def flush(self, timeout_s: float = FLUSH_S) -> None:
        """Send the events that are queued, before a process ends or freezes. Never raises."""
        with guard("flush", self.complain):
            self.client.flush(timeout_s)

    async def aflush(self, timeout_s: float = FLUSH_S) -> None:
        """`flush()` that lets the event loop run."""
        with guard("flush", self.complain):
            await self.client.aflush(timeout_s)

    def lose_exception(self, what: str, error: BaseException) -> None:
        """Count an exception that could not be captured because *what* failed. Never raises."""
        with guard(what, self.complain):  # the default client may fail to be made
            self.client.lost(what, error)

    def complain(self, name: str, error: BaseException) -> None:
        """Log a failure of *name*, once for each interceptor."""
        self._throttled.warning(name, "the interceptor's %s failed and is skipped: %r (logged once)", name, error)
