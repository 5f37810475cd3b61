"""The source: the definitions for local evaluation, kept fresh by one thread that starts when flags are first used.

Whoever uses flags gets the ruleset at hand; without one they wait for the first, for a bounded time that all share. The
processes of a host share one shelf: at each tick a process takes over what another has put there, and asks the server itself
only when that is due and nobody else is at it. After a fork the child keeps the rules and starts a thread of its own.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import orjson

from hogline.flags.evaluation import Ruleset
from hogline.flags.remote.cache_provider import Provider
from hogline.flags.remote.disk_cache import Shelf, State, default_folder
from hogline.settings import ClientSettings
from hogline.wire.flags import FlagsUnavailable

if TYPE_CHECKING:
    from hogline.flags.remote.api import FlagRequests

__all__ = ["FlagSource", "next_wait_s"]

_log = logging.getLogger("hogline")
_getpid = os.getpid
_JITTER = 0.2  # of the interval: the hosts of a fleet that starts at once come apart
_LOOK_AGAIN_S = 0.2  # while another process is asking
_LONGEST_WAIT_S = 300.0
_URGENT_S = 1.0  # the interval while there are no rules at all, and the server was merely out of reach
_CLEARING = frozenset({401, 402})  # the key is void, or the quota is used up: old rules must not go on
_REASONS = {
    401: "the secret key is not accepted; check secret_key and project_token",
    402: "the project's quota of flag requests is used up",
}


def next_wait_s(interval_s: float, failures: int, told_s: float | None, chance: float) -> float:
    """Return how long to wait before asking again; 0 <= *chance* < 1 spreads waits.

    After *failures* in a row the interval doubles with each, up to five minutes; a `Retry-After` (*told_s*) is the least.
    """
    wait_s = (
        interval_s if failures == 0 else min(interval_s * 2 ** min(failures - 1, 10), max(_LONGEST_WAIT_S, interval_s))
    )
    return max(wait_s, min(told_s or 0.0, _LONGEST_WAIT_S)) * (1.0 + _JITTER * chance)


class FlagSource:
    """What a client holds of the definitions of its project."""

    def __init__(self, settings: ClientSettings, requests: "Callable[[], FlagRequests]") -> None:
        self._settings = settings
        self._requests = requests  # imported and made in the process that asks
        provider = settings.flag_definition_cache_provider
        self._provider = Provider(provider, settings.flag_definitions_timeout_seconds) if provider is not None else None
        folder = default_folder() if settings.flag_cache_dir is None else settings.flag_cache_dir
        folder = "" if provider is not None else folder  # one place is enough
        self._shelf = Shelf(folder, host=settings.host, token=settings.project_token, secret_key=settings.secret_key)
        self.ruleset: Ruleset | None = None
        self._state = State()
        self._closed = False
        self._own()

    def _own(self) -> None:
        """Begin anew in this process: threads and locks are not inherited, rules are."""
        if self._provider is not None:
            self._provider.begin_anew()
        # Re-entrant: a signal handler may shut the client down while the thread that it interrupts holds it.
        self._changed = threading.Condition(threading.RLock())
        # Which `close()` does not take. Re-entrant for a handler that asks for the rules while its thread is asking for them.
        self._asking = threading.RLock()
        self._thread: threading.Thread | None = None
        self._settled = self.ruleset is not None  # the first attempt has come to something, if only to a failure
        self._begun_s = 0.0
        self._pid = _getpid()

    # -- the caller's side --------------------------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """Whether a caller would not have to wait: there are rules, or the first attempt has failed."""
        return self._thread is not None and self._settled and self._pid == _getpid()

    def wait(self) -> Ruleset | None:
        """Return the rules, waiting for the first ones at most `flag_cold_start_seconds` after their first use. Never raises."""
        self._start()
        with self._changed:
            until_s = self._begun_s + self._settings.flag_cold_start_seconds
            while not (self._settled or self._closed) and (rest_s := until_s - time.monotonic()) > 0:
                # In steps: what a signal handler tells between the look and the wait reaches nobody.
                self._changed.wait(min(rest_s, _LOOK_AGAIN_S))
            self._settled = True  # once in a process's life is enough
        return self.ruleset

    def load(self) -> bool:
        """Ask the server now, whatever the other processes have; returns whether there are rules.

        Within itself (in a signal handler, or a finalizer) it asks nobody: what it interrupts goes on when it has returned.
        """
        if self._asking._is_owned():  # type: ignore[attr-defined]  # noqa: SLF001 - as threading.Condition asks it
            return self.ruleset is not None
        begun_s = time.time()
        self._start()
        until_s = time.monotonic() + self._settings.flag_definitions_timeout_seconds
        while True:
            self._refresh(newer_than_s=begun_s)
            # What another process, or our own thread, asks for meanwhile is as good.
            if self._state.asked_at_s >= begun_s or time.monotonic() >= until_s:
                return self.ruleset is not None
            time.sleep(_LOOK_AGAIN_S / 4)

    def close(self) -> None:
        """Stop the thread."""
        if self._pid != _getpid():  # the parent's thread may have held the lock at the fork
            self._own()
        was_open, self._closed = not self._closed, True
        with self._changed:
            self._settled = True
            self._changed.notify_all()
        if self._provider is not None and was_open:
            self._provider.close()

    def _start(self) -> None:
        if self._pid != _getpid():
            self._own()
        with self._changed:
            if self._thread is not None or self._closed:
                return
            self._begun_s = time.monotonic()
            self._thread = threading.Thread(target=self._run, name="hogline-flags", daemon=True)
            thread = self._thread
        try:
            thread.start()
        except RuntimeError:  # the interpreter ends, or the system has no more threads
            self._settled = True

    # -- the thread's side --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        mine = threading.current_thread()
        while not self._closed:
            try:
                wait_s = self._refresh()
            except Exception as error:  # nothing ends this thread but the client's end
                _log.error("hogline: flag definitions could not be read: %r", error)
                wait_s = self._settings.poll_interval
            with self._changed:
                if self._closed or self._thread is not mine:
                    break
                self._changed.wait(wait_s)

    def _refresh(self, *, newer_than_s: float = 0.0) -> float:
        """Take over what is on the shelf, ask the server if that is due; returns the seconds until the next look."""
        with self._asking:
            self._take_over(self._shelf.state() if self._shelf.is_shared else self._state)
            if self._due(newer_than_s):
                with self._shelf.lock() as mine:
                    if not mine:
                        return _LOOK_AGAIN_S
                    if self._shelf.is_shared:
                        self._take_over(self._shelf.state())  # somebody may have asked since
                    if self._due(newer_than_s) and not self._given():
                        self._ask()
            self._settle()
            return max(_LOOK_AGAIN_S, self._state.ask_again_at_s - time.time())

    def _given(self) -> bool:
        """Take over what the app's provider has; False: it wants us to ask the server."""
        if self._provider is None:
            return False
        definitions = self._provider.definitions(is_needed=self.ruleset is None)
        if definitions is None:
            return False
        if definitions:
            self.ruleset = Ruleset(definitions)
        now_s = time.time()
        self._state = self._state.changed(asked_at_s=now_s, ask_again_at_s=now_s + self._next_wait_s(0, None))
        return True

    def _due(self, newer_than_s: float) -> bool:
        if self._state.asked_at_s < newer_than_s:
            return True
        rest_s = self._state.ask_again_at_s - time.time()
        # A time that far ahead was written by a clock that has been set back since.
        return rest_s <= 0 or rest_s > 2 * max(_LONGEST_WAIT_S, self._settings.poll_interval)

    def _take_over(self, state: State | None) -> None:
        """Make what *state* describes ours. Rules from the shelf serve at once, however old: the server is asked next.

        A state that cannot be read (None) changes nothing, and only one that says why takes rules away.
        """
        if state is None:
            return
        if state.version and state.version != self._state.version:
            definitions = self._shelf.definitions(state.version)
            if definitions is None:
                state = state.changed(version=self._state.version, etag=self._state.etag, ask_again_at_s=0.0)
            else:
                self.ruleset = Ruleset(definitions)
                self._settle()
        elif not state.version and state.status in _CLEARING:
            self.ruleset = None  # another process was told so
        self._state = state

    def _ask(self) -> None:
        requests = self._requests()
        # An etag is worth something only with the definitions that it is about. A provider is handed them each time: what it
        # keeps may end by itself.
        etag = self._state.etag if self.ruleset is not None and self._provider is None else None
        asked_at_s = time.time()
        try:
            answer = requests.definitions(etag)
            definitions = None if answer.body is None else orjson.loads(answer.body)
            if definitions is not None and not (
                isinstance(definitions, dict) and isinstance(definitions.get("flags"), list)
            ):
                raise FlagsUnavailable("unknown_error", "the answer holds no flags")
        except ValueError as error:
            self._failed(FlagsUnavailable("unknown_error", f"the answer is no JSON: {error}"), asked_at_s)
        except FlagsUnavailable as error:
            self._failed(error, asked_at_s)
        else:
            now_s = time.time()
            state = self._state.changed(
                asked_at_s=asked_at_s, ask_again_at_s=now_s + self._next_wait_s(0, None), failures=0, error=""
            )
            if definitions is not None:
                self.ruleset = Ruleset(definitions)
                state = state.changed(version=os.urandom(8).hex(), etag=answer.etag)
            self._state = state
            self._shelf.put(state, definitions)
            if self._provider is not None and definitions is not None:
                self._provider.put(definitions)

    def _failed(self, error: FlagsUnavailable, asked_at_s: float) -> None:
        now_s, failures = time.time(), self._state.failures + 1
        refused = error.status is not None and error.status < 500
        wait_s = self._next_wait_s(failures, error.retry_after_s, is_urgent=self.ruleset is None and not refused)
        state = self._state.changed(
            asked_at_s=asked_at_s,
            ask_again_at_s=now_s + wait_s,
            failures=failures,
            error=f"{error.code} {error.status or ''}".strip(),
        )
        if error.status in _CLEARING:
            self.ruleset = None
            state = state.changed(version="", etag=None)
        if state.error != self._state.error:  # said once, not at every tick
            reason = _REASONS.get(error.status or 0, "local evaluation goes on with what it has")
            _log.error("hogline: no flag definitions from %s (%s): %s", self._settings.host, error, reason)
        self._state = state
        self._shelf.put(state)

    def _next_wait_s(self, failures: int, told_s: float | None, *, is_urgent: bool = False) -> float:
        from random import random

        interval_s = self._settings.poll_interval
        chance = random()  # noqa: S311 - jitter is no secret
        return next_wait_s(min(interval_s, _URGENT_S) if is_urgent else interval_s, failures, told_s, chance)

    def _settle(self) -> None:
        with self._changed:
            self._settled = True
            self._changed.notify_all()
