"""`$feature_flag_called` and `$experiment_exposure` events.

Each is sent once for each person, flag and value, in bounded memory.

Checking and remembering a key is one operation of a dict, so no lock exists that a fork could leave
taken.
"""

import functools
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Protocol

from hogline.flags.attribution import (
    EXPOSURE_FORBIDDEN,
    FLAG_CALLED_FORBIDDEN,
    MINIMAL_ATTRIBUTION,
    attribution_of,
)
from hogline.flags.evaluation import FlagValue
from hogline.flags.request import FlagRequest
from hogline.flags.results import ForcedRecord, Record, RemoteRecord
from hogline.flags.snapshot import FeatureFlagEvaluations
from hogline.wire.flags import FlagsAnswer

__all__ = ["MINIMAL", "CalledEvents", "RecentKeys", "SendCalled"]

MINIMAL = frozenset(
    {
        "$feature_flag", "$feature_flag_response", "$feature_flag_has_experiment", "$feature_flag_id", "$feature_flag_version",
        "$feature_flag_reason", "$feature_flag_request_id", "$feature_flag_evaluated_at", "$feature_flag_error", "locally_evaluated",
        "$groups", "$process_person_profile", "$session_id", "$lib", "$lib_version", "$is_server", "$geoip_disable", "$os",
        "$os_version", "$os_distro", "$python_runtime", "$python_version",
    }
)  # fmt: skip
"""The properties that a minimal event keeps.

They apply when the server asks for minimal events and no experiment uses the flag.

Source: docs/internals/flags-protocol.md#feature-flag-called.
"""


_OF_EXPOSURE = (
    "$feature_flag", "$feature_flag_response", "locally_evaluated", "$feature_flag_id", "$feature_flag_version",
    "$feature_flag_request_id", "$feature_flag_evaluated_at",
)  # fmt: skip


class RecentKeys:
    """Remembers at most *limit* keys, and forgets the oldest first."""

    __slots__ = ("_limit", "_seen")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seen: dict[Hashable, object] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def first(self, key: Hashable) -> bool:
        """Return whether *key* is new, and remember it. Of several threads, one gets True."""
        token = object()
        if self._seen.setdefault(key, token) is not token:
            return False
        while len(self._seen) > self._limit:
            try:
                self._seen.pop(next(iter(self._seen)), None)
            except (RuntimeError, StopIteration):
                # Another thread changed the dict at the same moment.
                continue
        return True

    def clear(self) -> None:
        """Forget all."""
        self._seen.clear()


class SendCalled(Protocol):
    """Sends an event about a flag."""

    def __call__(
        self,
        event: str,
        distinct_id: str,
        properties: dict[str, Any],
        *,
        groups: Mapping[str, Any],
        disable_geoip: bool | None,
        allowed: frozenset[str] | None,
        forbidden: frozenset[str],
    ) -> None:
        """Send *event* with the *allowed* properties only (None: all of them).

        The *forbidden* ones are sent only if they come from *properties*.
        """


class CalledEvents:
    """Sends the events about reading flags, once for each person, flag, value and set of groups.

    A forced value is no exposure, and sends no event.
    """

    def __init__(self, limit: int, send: SendCalled, lost: Callable[[Exception], None]) -> None:
        self._once = RecentKeys(limit)
        self._send = send
        self._lost = lost

    def forget(self) -> None:
        """Forget which events were sent."""
        self._once.clear()

    def tell(self, snapshot: FeatureFlagEvaluations, key: str, record: Record | None, errors: list[str]) -> None:
        """Send the event about a read of *snapshot*."""
        if not isinstance(record, ForcedRecord):
            request = FlagRequest(snapshot.distinct_id, snapshot.groups, {}, {}, None, snapshot.disable_geoip, None)
            self.called(request, key, record, errors, answer=snapshot.answer, minimal=snapshot.minimal)

    def called(
        self,
        request: FlagRequest,
        key: str,
        record: Record | None,
        errors: list[str],
        *,
        answer: FlagsAnswer | None = None,
        minimal: bool = False,
    ) -> None:
        """Send the event about *record*, which was read.

        *errors* are the codes of what went wrong on the way.

        If the event fails, the caller still gets the flag's value; the lost event is counted.
        """
        try:
            self._called(request, key, record, errors, answer, minimal=minimal)
        except Exception as error:
            self._lost(error)

    def _called(
        self,
        request: FlagRequest,
        key: str,
        record: Record | None,
        errors: list[str],
        answer: FlagsAnswer | None,
        *,
        minimal: bool,
    ) -> None:
        value = record.value if record is not None else None
        groups = tuple(sorted(request.groups.items())) if request.groups else ()
        attribution = attribution_of(record.flag) if isinstance(record, RemoteRecord) else None
        # `and` would be wrong: an exposure is sent once whatever values were read before.
        is_new = self._once.first((request.distinct_id, key, value, groups, attribution))
        is_exposure = (
            attribution is not None
            and attribution.variant_key is not None
            and self._once.first((request.distinct_id, key, groups, attribution.rule_id, attribution.variant_key))
        )
        if not (is_new or is_exposure):
            return
        details = record.describe() if record is not None else {}
        locally = record is not None and record.locally_evaluated
        if answer is not None and not locally:
            details |= {
                "$feature_flag_request_id": answer.request_id,
                "$feature_flag_evaluated_at": answer.evaluated_at,
            }
        has_experiment = record.has_experiment if record is not None else None
        properties = _properties(
            key,
            value,
            locally=locally,
            payload=record.payload if record is not None and not record.failed else None,
            details=details,
            errors=errors,
            has_experiment=has_experiment,
        )
        send = functools.partial(self._send, groups=request.groups, disable_geoip=request.disable_geoip)
        if attribution is None:
            allowed = MINIMAL if minimal and has_experiment is False else None
            send("$feature_flag_called", request.distinct_id, properties, allowed=allowed, forbidden=frozenset())
            return
        properties.pop("$feature_flag_reason", None)
        if is_new:
            allowed = MINIMAL | MINIMAL_ATTRIBUTION if minimal and has_experiment is False else None
            called = {**properties, **attribution.properties()}
            send("$feature_flag_called", request.distinct_id, called, allowed=allowed, forbidden=FLAG_CALLED_FORBIDDEN)
        if is_exposure:
            exposure = {name: properties[name] for name in _OF_EXPOSURE if name in properties}
            exposure["$feature_flag_variant_key"] = attribution.variant_key
            exposure["$feature_flag_rule_id"] = attribution.rule_id
            send("$experiment_exposure", request.distinct_id, exposure, allowed=None, forbidden=EXPOSURE_FORBIDDEN)


def _properties(
    key: str,
    value: FlagValue | None,
    *,
    locally: bool,
    payload: Any,
    details: Mapping[str, Any],
    errors: list[str],
    has_experiment: bool | None,
) -> dict[str, Any]:
    """Return the event's own properties.

    *details* come from the record and the server's answer, and may be None.
    """
    properties: dict[str, Any] = {
        "$feature_flag": key,
        "$feature_flag_response": value,
        f"$feature/{key}": value,
        "locally_evaluated": locally,
    }
    if payload is not None:
        properties["$feature_flag_payload"] = payload
    properties.update({name: thing for name, thing in details.items() if thing is not None})
    if errors:
        properties["$feature_flag_error"] = ",".join(errors)
    if has_experiment is not None:
        properties["$feature_flag_has_experiment"] = has_experiment
    return properties
