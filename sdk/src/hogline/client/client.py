"""Client: what a user holds. It joins the rooms: context, event, wire, delivery; and guards the host's code from all of them."""

import weakref
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hogline.client.context_methods import ContextMethods
from hogline.client.flag_methods import FlagMethods
from hogline.client.identity import IdentityMethods
from hogline.context import current
from hogline.delivery import Stats
from hogline.event import distinct_id_text
from hogline.settings import LONGEST_WAIT_S, ClientSettings

if TYPE_CHECKING:
    from hogline.flags import FeatureFlagEvaluations

__all__ = ["Client", "PostHog", "Posthog"]

_NOTHING: Mapping[str, Any] = {}
# Every client that was not shut down, oldest first; the first is the default one.
_living: "weakref.WeakValueDictionary[int, Client]" = weakref.WeakValueDictionary()


class Client(IdentityMethods, ContextMethods, FlagMethods):
    """A PostHog client for one project.

    `capture()` and its kin only enqueue, so they are the same in `async def`. What waits has an awaitable twin.
    *project_token* and every option of `ClientSettings` may also come from the environment (`HOGLINE_*`).

    Raises TypeError: an option that does not exist.  Raises SettingsError: a value that cannot work.
    """

    def __init__(self, project_token: str | None = None, host: str | None = None, **options: Any) -> None:
        for alias in ("project_api_key", "api_key"):  # posthog-python's names
            if alias in options:
                project_token = options.pop(alias) if project_token is None else project_token
        if project_token is not None:
            options["project_token"] = project_token
        if host is not None:
            options["host"] = host
        super().__init__(ClientSettings.load(options))
        _living[id(self)] = self
        if self.settings.flag_overrides:
            assert self.flags  # made now, so that an override that cannot be read is told here
        if self.settings.capture_exceptions:
            from hogline.client import excepthooks  # only who asks for them pays for them

            excepthooks.install(self)

    @staticmethod
    def first() -> "Client | None":
        """Return the first client of this process that was not shut down."""
        return next(iter(list(_living.values())), None)

    def __repr__(self) -> str:
        return f"PostHog({self.project_token[:8]}..., host={self.settings.host!r})"

    # -- events -----------------------------------------------------------------------------------------------------

    def capture(
        self,
        event: str,
        *,
        distinct_id: Any = None,
        properties: Mapping[str, Any] | None = None,
        timestamp: datetime | str | None = None,
        uuid: Any = None,
        groups: Mapping[str, Any] | None = None,
        flags: "FeatureFlagEvaluations | None" = None,
        send_feature_flags: bool | Mapping[str, Any] = False,
        disable_geoip: bool | None = None,
    ) -> str | None:
        """Send *event* with what the context knows. Returns the id that is on the wire, or None: nothing will be sent.

        *properties* win over the context's, the context's over the client's defaults. Without a distinct id from here or
        the context, the event belongs to nobody (`$process_person_profile: false`). *groups* maps type to key. *flags*, from
        `evaluate_flags()`, puts `$feature/<key>` on it; *send_feature_flags* is posthog-python's older way, and may wait.
        """
        # The door of `guarded`, spelled out: on this path its extra frame would be a tenth of the cost.
        try:
            if flags is not None or send_feature_flags:
                said = self._flag_properties(flags, send_feature_flags, distinct_id, groups, disable_geoip)
                properties = {**said, **(properties or _NOTHING)}
            now = current.get()
            if now is None:
                merged = {**self._plain, **(properties or _NOTHING)}
                who = distinct_id_text(distinct_id)
            else:
                merged = {**self._plain, **now.properties(), **(properties or _NOTHING)}
                who = (
                    now.acting_distinct_id()
                    if distinct_id is None
                    else distinct_id_text(distinct_id) or now.acting_distinct_id()
                )
            if groups:
                merged["$groups"] = dict(groups)
            return self._send(event, who, merged, timestamp, uuid, disable_geoip)
        except Exception as error:
            if self.settings.debug:
                raise
            self.lost("capture", error)
            return None

    # -- delivery -----------------------------------------------------------------------------------------------------

    def flush(self, timeout_seconds: float | None = 10.0) -> bool:
        """Send what waits; returns whether all of it was settled within *timeout_seconds* (None: however long). Never raises."""
        limit = None if timeout_seconds is None else min(LONGEST_WAIT_S, timeout_seconds)
        return self._delivery.flush(limit)

    def shutdown(self, timeout_seconds: float | None = None) -> bool:
        """Send what waits and stop; afterwards nothing is accepted. At most *timeout_seconds*, by default `shutdown_timeout`."""
        _living.pop(id(self), None)
        if self.settings.capture_exceptions:
            from hogline.client import excepthooks

            excepthooks.uninstall(self)
        if self._flags is not None:
            self._flags.close()
        limit = self.settings.shutdown_timeout if timeout_seconds is None else timeout_seconds
        return self._delivery.shutdown(min(LONGEST_WAIT_S, limit))

    def join(self) -> None:
        """Send what waits and stop, as `shutdown()` does; posthog-python's older name."""
        self.shutdown()

    async def aflush(self, timeout_seconds: float | None = 10.0) -> bool:
        """`flush()` that lets the event loop run."""
        import asyncio  # who calls this has it loaded; who doesn't saves its start-up time

        return await asyncio.to_thread(self.flush, timeout_seconds)

    async def ashutdown(self, timeout_seconds: float | None = None) -> bool:
        """`shutdown()` that lets the event loop run."""
        import asyncio

        return await asyncio.to_thread(self.shutdown, timeout_seconds)

    def stats(self) -> Stats:
        """Return what became of the events of this process: accepted = sent + waiting + all that were dropped."""
        return self._ledger.snapshot()


PostHog = Client
Posthog = Client
