"""The exceptions of one request.

They are observed while they are raised, and judged when the response's status is known.
"""

import time
from collections.abc import Callable

from hogline.context import current
from hogline.deduplication import CaptureScope, captured_before, mark_captured
from hogline.exception_kinds import http_status, is_noise, leaves, unwrapped
from hogline.exchange.policy import Policy
from hogline.exchange.recorder import ObservedException
from hogline.facts.span import active_span
from hogline.guard import guard
from hogline.settings import ExceptionCapture
from hogline.tracebacks import Mechanism

__all__ = ["RequestExceptions"]

_SWITCHING_PROTOCOLS = 101
_MAX_WAITING = 10  # exceptions of one request; more are the same mistake over and over


class RequestExceptions:
    """The observed exceptions of one request. *scope* is the request, as deduplication knows it."""

    __slots__ = ("_scope", "_waiting")

    def __init__(self, scope: CaptureScope) -> None:
        self._scope = scope
        self._waiting: list[tuple[ObservedException, Policy]] = []

    def observe(
        self, error: BaseException, policy: Policy, rules: ExceptionCapture, *, handled: bool, status: int | None
    ) -> None:
        """Record *error* as it is now.

        When it is observed again, the outer layer's *handled* and *status* count.
        """
        error = unwrapped(error)
        if is_noise(error) or all(isinstance(leaf, rules.ignore) or is_noise(leaf) for leaf in leaves(error)):
            return
        for observed, _ in self._waiting:
            if observed.error is error:
                observed.handled = handled
                observed.status = status if status is not None else observed.status
                return
        if len(self._waiting) >= _MAX_WAITING:
            if not captured_before(error, self._scope):
                policy.client.exceptions.count_overflow()
            return
        mechanism = Mechanism(type="middleware", handled=handled)
        entries = policy.client.exceptions.serialise(error, mechanism)
        now_ns = time.time_ns()
        observed = ObservedException(
            error, entries, policy.source, current.get(), status, handled, now_ns, active_span()
        )
        self._waiting.append((observed, policy))

    def defer(self, error: BaseException, otherwise: Callable[[], object]) -> bool:
        """Return whether *error* is pending.

        If it was handled and is not captured later, *otherwise* is called.
        """
        for observed, _ in self._waiting:
            if observed.error is error:
                observed.otherwise = otherwise
                return True
        return False

    def judge(self, error: BaseException, status: int) -> None:
        """Judge *error* alone; the others stay pending."""
        error = unwrapped(error)
        waiting, self._waiting = self._waiting, []
        for observed, policy in waiting:
            if observed.error is error:
                self._judge(observed, policy, status)
            else:
                self._waiting.append((observed, policy))

    def judge_all(self, status: int | None) -> None:
        """Judge all pending exceptions; *status* is None if no response was sent. Never raises."""
        waiting, self._waiting = self._waiting, []
        for observed, policy in waiting:
            with guard("exception capture", policy.lose_exception):
                self._judge(observed, policy, status)

    def _judge(self, observed: ObservedException, policy: Policy, response_status: int | None) -> None:
        """Send *observed* as an event unless it is no error, or became an event before."""
        error, rules = observed.error, policy.exceptions
        if rules is None or captured_before(error, self._scope):
            return
        # Where nothing was answered, the server answers 500, whatever the exception's class says.
        status = response_status or observed.status or 500
        if observed.handled:
            # An HTTP exception that nothing turned into its response is a mistake like any other.
            own_status = http_status(error)
            if own_status is not None and own_status < rules.min_status_to_capture:
                return
            if not _is_captured_if_handled(rules, status, own_status):
                if observed.otherwise is not None:
                    observed.otherwise()
                return
        observed.entries[0]["mechanism"]["handled"] = observed.handled
        mark_captured(error, self._scope)
        policy.client.exceptions.send_observed(observed, {"$response_status_code": status})


def _is_captured_if_handled(rules: ExceptionCapture, status: int, own_status: int | None) -> bool:
    """Return whether an exception that was answered with *status* is an error by these rules."""
    if rules.handled == "by_status":
        # A WebSocket's 101 answered the handshake. The exception closes the socket with a code that
        # stands for its own status.
        answered = own_status if own_status is not None and status == _SWITCHING_PROTOCOLS else status
        return answered >= rules.min_status_to_capture
    return rules.handled == "capture"
