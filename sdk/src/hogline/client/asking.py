"""Asking: how a client's flag methods reach `flagging`, which is imported with the first of them, and what keeps the host safe there."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from hogline.client.events import Assembly
from hogline.context import current
from hogline.delivery import process

if TYPE_CHECKING:
    from hogline.flags import FeatureFlagEvaluations, Flags
    from hogline.flags.flow import Flow

__all__ = ["Asking", "GroupProperties", "Properties", "about"]

_T = TypeVar("_T")
Properties = Mapping[str, Any] | None
GroupProperties = Mapping[str, Mapping[str, Any]] | None


class Asking(Assembly):
    """What the flag methods stand on."""

    _flags: "Flags | None" = None
    _flags_offline = False

    @property
    def flags(self) -> "Flags":
        """Overrides, and what the flag methods stand on."""
        if self._flags is not None:
            return self._flags
        with process.importing():
            from hogline.flags import Flags  # hashes, patterns and dates cost start-up time
        made = Flags(self.settings, self._send_called, self._lost_called)
        made.offline = self._flags_offline
        kept: Flags = vars(self).setdefault("_flags", made)  # of several threads one is first
        return kept

    # The doors. `flags` is made when it is first read, with what the system has then, so it is read inside of them.

    def _wait(self, what: str, asked: "Callable[[Flags], Flow[_T]]", otherwise: _T) -> _T:
        try:
            from hogline.flags.flow import run

            return run(asked(self.flags))
        except Exception as error:
            return self._stumbled(what, error, otherwise)

    async def _await(self, what: str, asked: "Callable[[Flags], Flow[_T]]", otherwise: _T) -> _T:
        try:
            from hogline.flags.flow import arun

            return await arun(asked(self.flags))
        except Exception as error:
            return self._stumbled(what, error, otherwise)

    def _stumbled(self, what: str, error: Exception, otherwise: _T) -> _T:
        if self.settings.debug:
            raise error
        self.failed(what, error)
        return otherwise

    def _send_called(
        self,
        distinct_id: str,
        properties: dict[str, Any],
        *,
        groups: Mapping[str, Any],
        disable_geoip: bool | None,
        minimal: bool,
    ) -> None:
        now = current.get()
        merged = {**self._plain, **(now.properties() if now is not None else {}), **properties}
        if groups:
            merged["$groups"] = dict(groups)
        if minimal:
            from hogline.flags.called_events import MINIMAL

            merged = {name: value for name, value in merged.items() if name in MINIMAL}
        self._send("$feature_flag_called", distinct_id, merged, None, None, disable_geoip)

    def _lost_called(self, error: Exception) -> None:
        if self.settings.debug:
            raise error
        self.lost("$feature_flag_called", error)

    def _flag_properties(
        self,
        flags: "FeatureFlagEvaluations | None",
        send_feature_flags: Any,
        distinct_id: Any,
        groups: Properties,
        disable_geoip: bool | None,
    ) -> Mapping[str, Any]:
        """Return what an event says about flags. Whatever fails here, the event is sent."""
        try:
            if flags is not None:
                if send_feature_flags:
                    self.failed("capture", TypeError("flags= and send_feature_flags= were both given; flags= counts"))
                return flags.event_properties()
            return self._legacy_flag_properties(send_feature_flags, distinct_id, groups, disable_geoip)
        except Exception as error:
            self.failed("capture(flags=...)", error)
            return {}

    def _legacy_flag_properties(
        self, options: Any, distinct_id: Any, groups: Properties, disable_geoip: bool | None
    ) -> Mapping[str, Any]:
        if not isinstance(options, bool | Mapping):
            raise TypeError(f"send_feature_flags must be True, False or a mapping, got {options!r}")
        warnings.warn(
            "send_feature_flags is deprecated: it may ask the server for each event; pass flags=posthog.evaluate_flags(...)",
            DeprecationWarning,
            stacklevel=4,
        )
        said: Mapping[str, Any] = options if isinstance(options, Mapping) else {}
        asked = about(
            distinct_id, groups, said.get("person_properties"), said.get("group_properties"), disable_geoip, None,
            said.get("flag_keys_filter") or None,
        )  # fmt: skip
        locally = said.get("only_evaluate_locally")
        if locally is None:
            locally = self.flags.ruleset is not None
        snapshot = self._wait(
            "capture(send_feature_flags=...)", lambda flags: flags.evaluate(asked, only_locally=bool(locally)), None
        )
        return snapshot.event_properties() if snapshot is not None else {}


def about(
    distinct_id: Any,
    groups: Properties,
    person_properties: Properties,
    group_properties: GroupProperties,
    disable_geoip: bool | None,
    device_id: str | None,
    keys: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Return what was said, as `Question.about` takes it."""
    return {
        "distinct_id": distinct_id,
        "groups": groups,
        "person_properties": person_properties,
        "group_properties": group_properties,
        "disable_geoip": disable_geoip,
        "device_id": device_id,
        "keys": keys,
    }
