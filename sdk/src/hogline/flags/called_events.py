"""`$feature_flag_called`: once for each person, flag and answer, in bounded memory.

The check and the note are one step of the dict, without a lock that a fork could leave taken.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Protocol

from hogline.flags.evaluation import FlagValue
from hogline.flags.request import Question
from hogline.flags.results import ForcedRecord, Record
from hogline.flags.snapshot import FeatureFlagEvaluations
from hogline.wire.flags import FlagsAnswer

__all__ = ["MINIMAL", "Once", "Reporter", "SendCalled"]

MINIMAL = frozenset(
    {
        "$feature_flag", "$feature_flag_response", "$feature_flag_has_experiment", "$feature_flag_id", "$feature_flag_version",
        "$feature_flag_reason", "$feature_flag_request_id", "$feature_flag_evaluated_at", "$feature_flag_error", "locally_evaluated",
        "$groups", "$process_person_profile", "$session_id", "$lib", "$lib_version", "$is_server", "$geoip_disable", "$os",
        "$os_version", "$os_distro", "$python_runtime", "$python_version",
    }
)  # fmt: skip
"""What is left of the event where the server asks for little, and no experiment looks at the flag.

Source: docs/internals/flags-protocol.md#feature-flag-called.
"""


class Once:
    """Remembers at most *limit* keys, and forgets the oldest, one at a time."""

    __slots__ = ("_limit", "_seen")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seen: dict[Hashable, object] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def first(self, key: Hashable) -> bool:
        """Tell whether *key* is new, and remember it. Of several threads one is told so."""
        mine = object()
        if self._seen.setdefault(key, mine) is not mine:
            return False
        while len(self._seen) > self._limit:
            try:
                self._seen.pop(next(iter(self._seen)), None)
            except (RuntimeError, StopIteration):  # another thread forgets at the same moment
                continue
        return True

    def clear(self) -> None:
        """Forget all."""
        self._seen.clear()


class SendCalled(Protocol):
    """How an event about a flag leaves."""

    def __call__(
        self,
        distinct_id: str,
        properties: dict[str, Any],
        *,
        groups: Mapping[str, Any],
        disable_geoip: bool | None,
        minimal: bool,
    ) -> None:
        """Send `$feature_flag_called`."""


class Reporter:
    """Sends `$feature_flag_called` once for each person, flag, answer and set of groups.

    What somebody forced is no exposure: no event.
    """

    def __init__(self, limit: int, send: SendCalled, lost: Callable[[Exception], None]) -> None:
        self._once = Once(limit)
        self._send = send
        self._lost = lost

    def forget(self) -> None:
        """Forget what was sent."""
        self._once.clear()

    def tell(self, snapshot: FeatureFlagEvaluations, key: str, record: Record | None, errors: list[str]) -> None:
        """Report a read of *snapshot*."""
        if not isinstance(record, ForcedRecord):
            about = Question(snapshot.distinct_id, snapshot.groups, {}, {}, None, snapshot.disable_geoip, None)
            self.called(about, key, record, errors, answer=snapshot.answer, minimal=snapshot.minimal)

    def called(
        self,
        question: Question,
        key: str,
        record: Record | None,
        errors: list[str],
        *,
        answer: FlagsAnswer | None = None,
        minimal: bool = False,
    ) -> None:
        """Report that *record* is what was read; *errors* say why it is none, or of what use it is.

        Who asked has the answer all the same when the event fails: that is counted.
        """
        try:
            self._called(question, key, record, errors, answer, minimal=minimal)
        except Exception as error:
            self._lost(error)

    def _called(
        self,
        question: Question,
        key: str,
        record: Record | None,
        errors: list[str],
        answer: FlagsAnswer | None,
        *,
        minimal: bool,
    ) -> None:
        value = record.value if record is not None else None
        groups = tuple(sorted(question.groups.items())) if question.groups else ()
        if not self._once.first((question.distinct_id, key, value, groups)):
            return
        said = record.describe() if record is not None else {}
        locally = record is not None and record.locally_evaluated
        if answer is not None and not locally:
            said |= {"$feature_flag_request_id": answer.request_id, "$feature_flag_evaluated_at": answer.evaluated_at}
        has_experiment = record.has_experiment if record is not None else None
        properties = _properties(
            key,
            value,
            locally=locally,
            payload=record.payload if record is not None and not record.failed else None,
            said=said,
            errors=errors,
            has_experiment=has_experiment,
        )
        self._send(
            question.distinct_id,
            properties,
            groups=question.groups,
            disable_geoip=question.disable_geoip,
            minimal=minimal and has_experiment is False,
        )


def _properties(
    key: str,
    value: FlagValue | None,
    *,
    locally: bool,
    payload: Any,
    said: Mapping[str, Any],
    errors: list[str],
    has_experiment: bool | None,
) -> dict[str, Any]:
    """Return the event's own properties; *said* holds what the record and its answer say, with None for what they don't."""
    properties: dict[str, Any] = {
        "$feature_flag": key,
        "$feature_flag_response": value,
        f"$feature/{key}": value,
        "locally_evaluated": locally,
    }
    if payload is not None:
        properties["$feature_flag_payload"] = payload
    properties.update({name: thing for name, thing in said.items() if thing is not None})
    if errors:
        properties["$feature_flag_error"] = ",".join(errors)
    if has_experiment is not None:
        properties["$feature_flag_has_experiment"] = has_experiment
    return properties
