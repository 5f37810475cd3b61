"""`/flags/`: the request's body, and the records of the response.

Every shape that a server has ever answered in can be read.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from hogline.wire.values import serialise

__all__ = [
    "FLAGS_PATH",
    "FlagMetadata",
    "FlagReason",
    "FlagsAnswer",
    "FlagsUnavailable",
    "RemoteFlag",
    "encode_request",
    "read_answer",
]

FLAGS_PATH = "/flags/?v=4"


@dataclass(frozen=True, slots=True)
class FlagReason:
    """The reason of a flag's value, in the server's words."""

    code: str = ""
    condition_index: int | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class FlagMetadata:
    """The server's record of a flag, beside its value. `payload` is JSON text, or None."""

    id: int | None = None
    payload: Any = None
    version: int | None = None
    description: str = ""
    has_experiment: bool | None = None
    config_version: int | None = None
    """The version of the flag's configuration; 1 for a record without a typed value."""
    rule_type: str | None = None
    """With `rule_id`: the rule that produced the value."""
    rule_id: str | None = None
    variant_key: str | None = None
    """The variant that an experiment assigned."""


@dataclass(frozen=True, slots=True)
class RemoteFlag:
    """One flag of an answer.

    A record that cannot be read is disabled and `malformed`. With `failed`, the server could not
    evaluate it.
    """

    key: str
    enabled: bool
    variant: str | None = None
    reason: FlagReason = field(default=FlagReason())
    metadata: FlagMetadata = field(default=FlagMetadata())
    failed: bool = False
    malformed: bool = False

    def get_value(self) -> bool | str:
        """Return the variant, or whether the flag is enabled."""
        return self.variant or self.enabled


@dataclass(frozen=True, slots=True)
class FlagsAnswer:
    """The answer to one request."""

    flags: Mapping[str, RemoteFlag]
    request_id: str | None = None
    evaluated_at: int | None = None  # milliseconds since 1970
    errors_while_computing: bool = False
    quota_limited: bool = False
    minimal_flag_called_events: bool = False


class FlagsUnavailable(Exception):  # noqa: N818 - an outcome that callers turn into a reason
    """There is no answer. `code` is the value for `$feature_flag_error`.

    Source: docs/internals/flags-protocol.md#feature-flag-called.
    """

    def __init__(self, code: str, detail: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.status = status
        self.retry_after_s = retry_after


def encode_request(
    *,
    token: str,
    distinct_id: str,
    groups: Mapping[str, Any],
    person_properties: Mapping[str, Any],
    group_properties: Mapping[str, Mapping[str, Any]],
    geoip_disable: bool,
    device_id: str | None,
    flag_keys: Sequence[str] | None,
    sent_at: str,
) -> bytes:
    """Return the body of a request. *flag_keys* None or empty: all flags.

    It names its runtime, because the server leaves out flags that are for another one.
    Source: docs/internals/flags-protocol.md#remote-evaluation.
    """
    request: dict[str, Any] = {
        "api_key": token,
        "token": token,
        "distinct_id": distinct_id,
        "groups": groups,
        "person_properties": person_properties,
        "group_properties": group_properties,
        "geoip_disable": geoip_disable,
        "device_id": device_id,
        "evaluation_runtime": "server",
        "sent_at": sent_at,
    }
    if flag_keys:
        request["flag_keys_to_evaluate"] = list(flag_keys)
    return serialise(request)


def read_answer(body: bytes) -> FlagsAnswer:
    """Return the answer in *body*.

    Raises ValueError: it is no answer about flags.
    Source: docs/internals/flags-protocol.md#flags-response.
    """
    answer = orjson.loads(body)
    if not isinstance(answer, dict):
        raise ValueError("the answer is no object")  # noqa: TRY004 - the server's value, not a caller's type
    records, legacy = answer.get("flags"), answer.get("featureFlags")
    if isinstance(records, dict):
        flags = {key: _record(key, record) for key, record in records.items()}
    elif isinstance(legacy, dict):
        payloads = answer.get("featureFlagPayloads")
        flags = _legacy(legacy, payloads if isinstance(payloads, dict) else {})
    elif isinstance(legacy, list):  # the oldest form: the keys that are on
        flags = {key: RemoteFlag(key, enabled=True) for key in legacy if isinstance(key, str)}
    else:
        flags = {}
    limited = answer.get("quotaLimited")
    evaluated_at = answer.get("evaluatedAt")
    request_id = answer.get("requestId")
    return FlagsAnswer(
        flags,
        request_id=request_id if isinstance(request_id, str) else None,
        evaluated_at=evaluated_at if isinstance(evaluated_at, int) else None,
        errors_while_computing=answer.get("errorsWhileComputingFlags") is True,
        quota_limited=isinstance(limited, list) and "feature_flags" in limited,
        minimal_flag_called_events=answer.get("minimalFlagCalledEvents") is True,
    )


def _legacy(values: Mapping[str, Any], payloads: Mapping[str, Any]) -> dict[str, RemoteFlag]:
    return {
        key: RemoteFlag(
            key,
            enabled=bool(value),
            variant=value if isinstance(value, str) else None,
            metadata=FlagMetadata(payload=payloads.get(key)),
        )
        for key, value in values.items()
    }


def _record(key: str, record: Any) -> RemoteFlag:
    try:
        return _read_record(key, record)
    except ValueError:
        return RemoteFlag(key, enabled=False, malformed=True)


def _read_record(key: str, record: Any) -> RemoteFlag:
    """Read a record of version 2, or a typed one of version 3 and 4, which has a `value`."""
    record = _typed(record, dict) or {}
    metadata, reason = _typed(record.get("metadata"), dict) or {}, _typed(record.get("reason"), dict) or {}
    failed = _typed(record.get("failed"), bool) is True
    payload = metadata.get("payload")
    version: int | None = 1
    if "value" in record:
        enabled, variant, own_payload = _rendered(record["value"])
        payload = own_payload if own_payload is not None else payload
        version = _whole(metadata.get("config_version"))
        _typed(metadata.get("forced_variant"), bool)
    else:
        enabled, variant = bool(_typed(record.get("enabled"), bool)), _typed(record.get("variant"), str)
    return RemoteFlag(
        key,
        enabled=enabled and not failed,
        variant=None if failed else variant,
        reason=FlagReason(
            _typed(reason.get("code"), str) or "",
            _whole(reason.get("condition_index")),
            _typed(reason.get("description"), str) or "",
        ),
        metadata=FlagMetadata(
            _whole(metadata.get("id")),
            None if failed else payload,
            _whole(metadata.get("version")),
            _typed(metadata.get("description"), str) or "",
            _typed(metadata.get("has_experiment"), bool),
            version,
            _typed(metadata.get("rule_type"), str),
            _typed(metadata.get("rule_id"), str),
            _typed(metadata.get("variant_key"), str),
        ),
        failed=failed,
    )


def _rendered(value: Any) -> tuple[bool, str | None, str | None]:
    """Return a typed value as enabled, variant and payload, as version 2 has it."""
    if value is None or isinstance(value, bool):
        return bool(value), None, None
    if isinstance(value, str):
        return True, value, None
    if isinstance(value, int | float | dict) and not (isinstance(value, float) and not math.isfinite(value)):
        return True, None, orjson.dumps(value).decode()
    raise ValueError("a value of no known type")


def _typed(value: Any, kind: type) -> Any:
    if value is None or isinstance(value, kind):
        return value
    raise ValueError(f"not {kind.__name__}: {value!r}")


def _whole(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool):
        raise ValueError(f"no number: {value!r}")  # noqa: TRY004
    number: int | None = _typed(value, int)
    return number
