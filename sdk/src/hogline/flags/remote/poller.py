"""The poller: keeps the definitions for local evaluation fresh.

It runs in one thread, which starts when flags are first used.

Callers get the current ruleset; before the first one is loaded they wait, for a bounded time that
all callers share. The processes of a host share a disk cache: at each tick a process reads what
another has written there, and asks the server itself only when that is due and no other process is
asking. A forked child keeps the ruleset and starts a thread of its own.
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
from hogline.flags.remote.disk_cache import DiskCache, State, default_folder
from hogline.guard import guard
from hogline.settings import ClientSettings
from hogline.wire.flags import FlagsUnavailable

if TYPE_CHECKING:
    from hogline.flags.remote.api import FlagRequests

__all__ = ["DefinitionPoller", "next_wait_s"]

_log = logging.getLogger("hogline")
_getpid = os.getpid
_JITTER = 0.2  # of the interval: spreads the requests of hosts that start at the same time
_CHECK_AGAIN_S = 0.2  # while another process asks the server
_LONGEST_WAIT_S = 300.0
_URGENT_S = 1.0  # the interval while there is no ruleset, and the server could not be reached
# The key is invalid, or the quota is used up: an old ruleset must not stay in use.
_CLEARING = frozenset({401, 402})
_REASONS = {
    401: "the secret key is not accepted; check secret_key and project_token",
    402: "the project's quota of flag requests is used up",
}


def next_wait_s(interval_s: float, failures: int, retry_after_s: float | None, chance: float) -> float:
    """Return the seconds until the next request; 0 <= *chance* < 1 adds jitter.

    The interval doubles with each of the *failures* in a row, up to five minutes. A `Retry-After`
    (*retry_after_s*) is a minimum.
    """
    wait_s = (
        interval_s if failures == 0 else min(interval_s * 2 ** min(failures - 1, 10), max(_LONGEST_WAIT_S, interval_s))
    )
    return max(wait_s, min(retry_after_s or 0.0, _LONGEST_WAIT_S)) * (1.0 + _JITTER * chance)


class DefinitionPoller:
    """Loads the definitions of one client's project, again and again."""

    def __init__(self, settings: ClientSettings, requests: "Callable[[], FlagRequests]") -> None:
        self._settings = settings
        self._requests = requests  # makes the API in the process that uses it
        provider = settings.flag_definition_cache_provider
        self._provider = Provider(provider, settings.flag_definitions_timeout_seconds) if provider is not None else None
        folder = default_folder() if settings.flag_cache_dir is None else settings.flag_cache_dir
        folder = "" if provider is not None else folder  # one cache is enough
        self._disk_cache = DiskCache(
            folder, host=settings.host, token=settings.project_token, secret_key=settings.secret_key
        )
        self.ruleset: Ruleset | None = None
        self.is_paused = False
        """Whether the server is never asked, as in tests."""
        self._state = State()
        self._closed = False
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Begin anew in this process.

        A fork keeps the ruleset, but no threads and no usable locks.
        """
        if self._provider is not None:
            self._provider.begin_anew()
        # Re-entrant: a signal handler may shut the client down while the interrupted thread holds
        # it.
        self._changed = threading.Condition(threading.RLock())
        # `close()` does not take it. Re-entrant for a signal handler that loads definitions while
        # its thread does so.
        self._asking = threading.RLock()
        self._thread: threading.Thread | None = None
        self._settled = self.ruleset is not None  # the first attempt has ended, if only in failure
        self._begun_s = 0.0
        self._pid = _getpid()

    # -- the caller's side -------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """Whether callers need not wait: there is a ruleset, or the first attempt has failed."""
        return self._thread is not None and self._settled and self._pid == _getpid()

    def wait(self) -> Ruleset | None:
        """Return the ruleset, waiting for the first one for a bounded time. Never raises.

        The wait ends `flag_cold_start_seconds` after the first use at most.
        """
        self._start()
        with self._changed:
            until_s = self._begun_s + self._settings.flag_cold_start_seconds
            while not (self._settled or self._closed) and (rest_s := until_s - time.monotonic()) > 0:
                # Wait in steps: a notification from a signal handler between the check and the
                # wait would be lost.
                self._changed.wait(min(rest_s, _CHECK_AGAIN_S))
            self._settled = True  # one such wait in a process's life is enough
        return self.ruleset

    def load(self) -> bool:
        """Ask the server now, even if another process has done so.

        Returns whether there is a ruleset.

        If a signal handler or a finalizer calls this within itself, it makes no request, because
        the interrupted call is making one.
        """
        if self._asking._is_owned():  # type: ignore[attr-defined]  # noqa: SLF001 - as threading.Condition asks it
            return self.ruleset is not None
        begun_s = time.time()
        self._start()
        until_s = time.monotonic() + self._settings.flag_definitions_timeout_seconds
        while True:
            self._refresh(newer_than_s=begun_s)
            # A request of another process, or of our own thread, in the meantime is as good.
            if self._state.asked_at_s >= begun_s or time.monotonic() >= until_s:
                return self.ruleset is not None
            time.sleep(_CHECK_AGAIN_S / 4)

    def close(self) -> None:
        """Stop the thread."""
        if self._pid != _getpid():  # a thread of the parent may have held the lock at the fork
            self._begin_anew()
        was_open, self._closed = not self._closed, True
        with self._changed:
            self._settled = True
            self._changed.notify_all()
        if self._provider is not None and was_open:
            self._provider.close()

    def _start(self) -> None:
        if self._pid != _getpid():
            self._begin_anew()
        with self._changed:
            if self._thread is not None or self._closed:
                return
            self._begun_s = time.monotonic()
            self._thread = threading.Thread(target=self._run, name="hogline-flags", daemon=True)
            thread = self._thread
        try:
            thread.start()
        except RuntimeError:  # the interpreter is exiting, or the system has no more threads
            self._settled = True

    # -- the thread's side -------------------------------------------------------------------------

    def _run(self) -> None:
        mine = threading.current_thread()
        while not self._closed:
            wait_s = self._settings.poll_interval
            # Only closing the client ends this thread.
            with guard("flag definitions", _log_failure):
                wait_s = self._refresh()
            with self._changed:
                if self._closed or self._thread is not mine:
                    break
                self._changed.wait(wait_s)

    def _refresh(self, *, newer_than_s: float = 0.0) -> float:
        """Read the disk cache, and ask the server if that is due.

        Returns the seconds until the next check.
        """
        with self._asking:
            self._take_over(self._disk_cache.state() if self._disk_cache.is_shared else self._state)
            if self._due(newer_than_s):
                with self._disk_cache.lock() as mine:
                    if not mine:
                        return _CHECK_AGAIN_S
                    if self._disk_cache.is_shared:
                        # Another process may have asked in the meantime.
                        self._take_over(self._disk_cache.state())
                    if self._due(newer_than_s) and not self._from_provider():
                        self._ask()
            self._settle()
            return max(_CHECK_AGAIN_S, self._state.ask_again_at_s - time.time())

    def _from_provider(self) -> bool:
        """Use the definitions of the app's provider.

        The result is False if the provider wants this process to ask the server.
        """
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
        if self.is_paused:
            return False
        if self._state.asked_at_s < newer_than_s:
            return True
        rest_s = self._state.ask_again_at_s - time.time()
        # A time that far ahead was written before the clock was set back.
        return rest_s <= 0 or rest_s > 2 * max(_LONGEST_WAIT_S, self._settings.poll_interval)

    def _take_over(self, state: State | None) -> None:
        """Use the state and definitions that another process has cached.

        They are used at once, however old they are.

        A state that cannot be read (None) changes nothing, and only a state with a reason removes
        the ruleset.
        """
        if state is None:
            return
        if state.version and state.version != self._state.version:
            definitions = self._disk_cache.definitions(state.version)
            if definitions is None:
                state = state.changed(version=self._state.version, etag=self._state.etag, ask_again_at_s=0.0)
            else:
                self.ruleset = Ruleset(definitions)
                self._settle()
        elif not state.version and state.status in _CLEARING:
            self.ruleset = None  # another process got that response
        self._state = state

    def _ask(self) -> None:
        requests = self._requests()
        # An etag is useful only while its definitions are here. A provider gets the definitions
        # each time, because its own copy may expire.
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
            self._disk_cache.put(state, definitions)
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
        if state.error != self._state.error:  # logged once, not at every tick
            reason = _REASONS.get(error.status or 0, "local evaluation goes on with what it has")
            _log.error("hogline: no flag definitions from %s (%s): %s", self._settings.host, error, reason)
        self._state = state
        self._disk_cache.put(state)

    def _next_wait_s(self, failures: int, retry_after_s: float | None, *, is_urgent: bool = False) -> float:
        from random import random

        interval_s = self._settings.poll_interval
        chance = random()  # noqa: S311 - jitter is no secret
        return next_wait_s(min(interval_s, _URGENT_S) if is_urgent else interval_s, failures, retry_after_s, chance)

    def _settle(self) -> None:
        with self._changed:
            self._settled = True
            self._changed.notify_all()


def _log_failure(what: str, error: Exception) -> None:
    _log.error("hogline: %s could not be read: %r", what, error)
