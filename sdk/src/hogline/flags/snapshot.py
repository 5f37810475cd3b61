"""Snapshot: all flags of one person at one moment.

Code branches on it, and events carry exactly the same values.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from hogline.flags.evaluation import FlagValue, UnresolvedFlagReason
from hogline.flags.results import Record, RemoteRecord
from hogline.wire.flags import FlagsAnswer

__all__ = ["FeatureFlagEvaluations", "Tell"]

_log = logging.getLogger("hogline")
_NO_ANSWER = FlagsAnswer({})

Tell = Callable[["FeatureFlagEvaluations", str, Record | None, list[str]], None]
"""Sends `$feature_flag_called` for one read of a snapshot, unless it was sent already."""


class FeatureFlagEvaluations:
    """The flags of one person, as `PostHog.evaluate_flags()` found them.

    It never changes, and makes no request.
    """

    def __init__(
        self,
        records: Mapping[str, Record],
        *,
        tell: Tell,
        distinct_id: str = "",
        groups: Mapping[str, Any] | None = None,
        disable_geoip: bool | None = None,
        answer: FlagsAnswer = _NO_ANSWER,
        error: str | None = None,
        minimal: bool = False,
        unresolved: Mapping[str, UnresolvedFlagReason] | None = None,
        accessed: set[str] | None = None,
    ) -> None:
        # This includes flags that the server failed to evaluate, which have no value.
        self._records = records
        self._tell = tell
        self._accessed = accessed if accessed is not None else set()
        self._unresolved = unresolved or {}
        self._properties: dict[str, Any] | None = None
        self.distinct_id = distinct_id
        self.groups: Mapping[str, Any] = groups or {}
        self.disable_geoip = disable_geoip
        self.answer = answer
        self.error = error
        self.minimal = minimal

    def __repr__(self) -> str:
        return f"<FeatureFlagEvaluations of {self.distinct_id or 'nobody'}: {len(self.keys)} flags>"

    def is_enabled(self, key: str, default_value: bool = False, *, send_feature_flag_events: bool = True) -> bool:
        """Return whether *key* is on, or *default_value* where there is no such flag.

        Sends `$feature_flag_called` once.
        """
        value = self.get_flag(key, send_feature_flag_events=send_feature_flag_events)
        return default_value if value is None else value is not False

    def get_flag(self, key: str, *, send_feature_flag_events: bool = True) -> FlagValue | None:
        """Return True, False, a variant's key, or None: there is no such flag.

        Sends `$feature_flag_called` once.
        """
        self._accessed.add(key)
        record = self._records.get(key)
        if send_feature_flag_events and self.distinct_id:
            self._tell(self, key, record, self._errors(key, record))
        return record.value if record is not None else None

    def get_flag_payload(self, key: str) -> Any:
        """Return the payload of the flag's value, decoded; None: it has none. No event is sent."""
        record = self._records.get(key)
        return None if record is None or record.failed else record.payload

    def only(self, keys: Sequence[str]) -> "FeatureFlagEvaluations":
        """Return a snapshot of *keys* only. Unknown keys are left out, with a warning."""
        missing = [key for key in keys if key not in self._records]
        if missing:
            _log.warning("hogline: only() was asked for flags that are not in the snapshot: %s", ", ".join(missing))
        return self._with({key: self._records[key] for key in keys if key in self._records})

    def only_accessed(self) -> "FeatureFlagEvaluations":
        """Return a snapshot of the flags that have been read from this one."""
        return self._with({key: record for key, record in self._records.items() if key in self._accessed})

    @property
    def keys(self) -> list[str]:
        """The flags that have a value."""
        return [key for key, record in self._records.items() if not record.failed]

    @property
    def unresolved_flags(self) -> Mapping[str, UnresolvedFlagReason]:
        """The flags that have no value although their definitions are loaded, and why."""
        return MappingProxyType(dict(self._unresolved))

    def event_properties(self) -> Mapping[str, Any]:
        """Return `$feature/<key>` for each flag, and `$active_feature_flags`."""
        if self._properties is None:
            values = {key: record.value for key, record in self._records.items() if not record.failed}
            properties: dict[str, Any] = {f"$feature/{key}": value for key, value in values.items()}
            active = sorted(key for key, value in values.items() if value is not False)
            if active:
                properties["$active_feature_flags"] = active
            self._properties = properties
        return self._properties

    def _errors(self, key: str, record: Record | None) -> list[str]:
        errors = []
        if self.answer.errors_while_computing:
            errors.append("errors_while_computing_flags")
        if self.error is not None and (record is None or not record.locally_evaluated):
            errors.append(self.error)
        if record is not None and record.failed:
            errors.append("evaluation_failed")
        if isinstance(record, RemoteRecord) and record.flag.malformed:
            errors.append("unknown_error")
        if key in self._unresolved:
            errors.append("local_evaluation_inconclusive")
        elif record is None and self.error is None:
            errors.append("flag_missing")
        return errors

    def _with(self, records: Mapping[str, Record]) -> "FeatureFlagEvaluations":
        return FeatureFlagEvaluations(
            records,
            tell=self._tell,
            distinct_id=self.distinct_id,
            groups=self.groups,
            disable_geoip=self.disable_geoip,
            answer=self.answer,
            error=self.error,
            minimal=self.minimal,
            accessed=set(self._accessed),
        )
