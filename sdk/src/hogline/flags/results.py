"""Results: the value of one flag for the caller, and the records that results are made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, TypeAlias

import orjson

from hogline.flags.evaluation import FlagValue, Verdict
from hogline.flags.evaluation.ruleset import Flag
from hogline.wire.flags import RemoteFlag

__all__ = [
    "FeatureFlagEvaluationRuntime",
    "FeatureFlagResult",
    "ForcedRecord",
    "KnownRecord",
    "LocalRecord",
    "Record",
    "RemoteRecord",
    "decoded",
    "is_payload",
    "result_of",
    "values_and_payloads",
]


class FeatureFlagEvaluationRuntime(StrEnum):
    """Where a flag is meant to be evaluated. ALL suits both sides.

    An unknown runtime counts as ALL.
    """

    ALL = "all"
    CLIENT = "client"
    SERVER = "server"

    @classmethod
    def of(cls, definition: Mapping[str, Any]) -> "FeatureFlagEvaluationRuntime":
        """Return the runtime that *definition* names."""
        runtime = definition.get("evaluation_runtime")
        text = runtime.strip().lower() if isinstance(runtime, str) else ""
        return cls(text) if text in cls._value2member_map_ else cls.ALL


@dataclass(frozen=True, slots=True)
class FeatureFlagResult:
    """The value of one flag: on or off, its variant, and its payload."""

    key: str
    enabled: bool
    variant: str | None = None
    payload: Any = None
    reason: str | None = None

    def get_value(self) -> FlagValue:
        """Return the variant, or whether the flag is enabled."""
        return self.variant or self.enabled


def is_payload(payload: Any) -> bool:
    """Return whether there is a *payload*: anything but None and text that is no JSON."""
    if not isinstance(payload, str):
        return payload is not None
    try:
        orjson.loads(payload)
    except ValueError:
        return False
    return True


def decoded(payload: Any) -> Any:
    """Return the value of the JSON text *payload*, or None if it is no JSON.

    Any other *payload* is returned unchanged.
    """
    if not isinstance(payload, str):
        return payload
    try:
        return orjson.loads(payload)
    except ValueError:
        return None


class Record(Protocol):
    """One flag of a snapshot, whichever way it was evaluated."""

    @property
    def value(self) -> FlagValue | None:
        """True, False, a variant's key, or None: the server failed to evaluate it."""

    @property
    def payload(self) -> Any:
        """The payload, decoded."""

    def describe(self) -> dict[str, Any]:
        """Return further properties for `$feature_flag_called`."""

    @property
    def has_experiment(self) -> bool | None:
        """Whether an experiment uses the flag; None: unknown."""

    @property
    def locally_evaluated(self) -> bool:
        """Whether this process evaluated the flag."""

    @property
    def failed(self) -> bool:
        """Whether the server failed to evaluate the flag."""


class LocalRecord:
    """A flag that this process evaluated."""

    __slots__ = ("_flag", "_verdict")
    locally_evaluated = True
    failed = False

    def __init__(self, flag: Flag, verdict: Verdict) -> None:
        self._flag = flag
        self._verdict = verdict

    @property
    def value(self) -> FlagValue | None:
        """True, False, a variant's key, or None."""
        return self._verdict.value

    @property
    def payload(self) -> Any:
        """The payload, decoded."""
        value = self._verdict.value
        return None if value is None else self._flag.payload(value)

    @property
    def payload_text(self) -> Any:
        """The payload as it stands in the definition."""
        value = self._verdict.value
        return None if value is None else self._flag.payload_text(value)

    def payload_for(self, value: FlagValue) -> Any:
        """Return the payload of another value."""
        return self._flag.payload(value)

    def describe(self) -> dict[str, Any]:
        """Return id and version of the definition."""
        definition = self._flag.definition
        return {
            "$feature_flag_id": definition.get("id"),
            "$feature_flag_version": definition.get("version"),
            "$feature_flag_reason": "Evaluated locally",
        }

    @property
    def has_experiment(self) -> bool | None:
        """Whether an experiment uses the flag."""
        has_experiment = self._flag.definition.get("has_experiment")
        return has_experiment if isinstance(has_experiment, bool) else None


class RemoteRecord:
    """A flag that the server evaluated."""

    __slots__ = ("failed", "flag")
    locally_evaluated = False

    def __init__(self, flag: RemoteFlag) -> None:
        self.flag: RemoteFlag = flag
        self.failed: bool = flag.failed

    @property
    def value(self) -> FlagValue | None:
        """True, False, a variant's key, or None."""
        return None if self.failed else self.flag.get_value()

    @property
    def payload(self) -> Any:
        """The payload, decoded."""
        return decoded(self.flag.metadata.payload)

    @property
    def payload_text(self) -> Any:
        """The payload as the server sent it."""
        return self.flag.metadata.payload

    def describe(self) -> dict[str, Any]:
        """Return id, version and reason from the server's answer."""
        metadata, reason = self.flag.metadata, self.flag.reason
        return {
            "$feature_flag_id": metadata.id,
            "$feature_flag_version": metadata.version,
            "$feature_flag_reason": reason.description or None,
        }

    @property
    def has_experiment(self) -> bool | None:
        """Whether an experiment uses the flag."""
        return self.flag.metadata.has_experiment


class ForcedRecord:
    """A flag whose value an override forces."""

    __slots__ = ("payload", "value")
    locally_evaluated = True
    failed = False
    has_experiment = None

    def __init__(self, value: FlagValue, payload: Any = None) -> None:
        self.value: FlagValue = value
        self.payload: Any = payload

    @property
    def payload_text(self) -> Any:
        """The payload as JSON text."""
        return None if self.payload is None else orjson.dumps(self.payload).decode()

    def describe(self) -> dict[str, Any]:
        """Return the reason: it was forced."""
        return {"$feature_flag_reason": "Overridden"}


KnownRecord: TypeAlias = LocalRecord | RemoteRecord | ForcedRecord


def result_of(key: str, record: KnownRecord, match_value: FlagValue | None) -> FeatureFlagResult | None:
    """Return the result for the caller, with the payload of *match_value* if given.

    The result is None if the record has no value.
    """
    value = record.value
    if value is None:
        return None
    payload = record.payload
    if match_value is not None:
        value = match_value
        payload = record.payload_for(match_value) if isinstance(record, LocalRecord) else payload
    reason = record.flag.reason.description or None if isinstance(record, RemoteRecord) else None
    if isinstance(value, str):
        return FeatureFlagResult(key, True, value, payload, reason)
    return FeatureFlagResult(key, value, None, payload, reason)


def values_and_payloads(records: Mapping[str, KnownRecord]) -> tuple[dict[str, FlagValue], dict[str, Any]]:
    """Return values, and payloads as JSON texts, by key."""
    values = {key: record.value for key, record in records.items() if record.value is not None}
    payloads = {
        key: record.payload_text
        for key, record in records.items()
        if is_payload(record.payload_text) and not (isinstance(record, RemoteRecord) and not record.flag.enabled)
    }
    return values, payloads
