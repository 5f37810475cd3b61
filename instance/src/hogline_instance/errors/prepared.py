"""One `$exception` event, prepared: its normalised list, its fingerprints, its derived properties.

Pure. Source: docs/internals/instance-protocol.md#derived-exception-properties.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import orjson

from hogline_instance.db import storable_text
from hogline_instance.errors.exception_list import BrokenListError, canonical_list
from hogline_instance.errors.fingerprint import VERSIONS, Fingerprint, custom, manual
from hogline_instance.errors.frames import Resolution, Resolve, derive
from hogline_instance.errors.rules import Rule, RuleSet
from hogline_instance.events.event import StoredEvent

__all__ = ["Prepared", "prepare", "release_of"]

_MAX_NAME = 1_000
_MAX_DESCRIPTION = 255
_MAX_LIST = 200
_raw_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(slots=True)
class Prepared:
    """An event, its exceptions, and what is known about its issue.

    `fingerprint` is the one to create an issue under; `candidates` are older ones that keep theirs.
    """

    event: StoredEvent
    exceptions: list[dict[str, Any]] = field(default_factory=list)
    derived: dict[str, Any] = field(default_factory=dict)
    fingerprint: Fingerprint | None = None
    proposed: str = ""
    candidates: tuple[Fingerprint, ...] = ()
    errors: list[str] = field(default_factory=list)
    assignee: Any = None
    """The assignee of the grouping rule that chose the fingerprint: a new issue is theirs."""

    @property
    def merged(self) -> dict[str, Any]:
        """Return the event's properties with the derived ones."""
        return {**self.event.properties, **self.derived}

    @property
    def name(self) -> str:
        """Return the name of an issue that this event creates."""
        return _storable((self.event.text("$issue_name") or self.exceptions[0]["type"])[:_MAX_NAME])

    @property
    def description(self) -> str:
        """Return the description of an issue that this event creates."""
        text = self.event.text("$issue_description") or self.exceptions[0]["value"]
        return _storable(text[:_MAX_DESCRIPTION])

    def matching(self, rules: RuleSet, kind: str) -> Rule | None:
        """Return the first of the *rules* of a kind that this event matches."""
        return rules.first(kind, self.merged) if rules.has(kind) else None

    def choose(self, rules: RuleSet) -> None:
        """Set the fingerprint: the client's, a grouping rule's, or a computed one."""
        computed = tuple(version(self.exceptions) for version in VERSIONS)
        named = _storable(self.event.text("$exception_fingerprint"))
        rule = self.matching(rules, "grouping")
        automatic = custom(rule.id) if rule is not None else computed[-1]
        self.proposed = automatic.value
        self.fingerprint = manual(named) if named else automatic
        self.assignee = rule.values.get("assignee") if rule is not None and not named else None
        self.candidates = () if named or rule is not None else computed[:-1]

    def write(self, issue_id: str) -> None:
        """Put the derived properties into the event's row; all others keep their bytes."""
        added: dict[str, Any] = dict(self.derived)
        if self.exceptions:
            added["$exception_list"] = self.exceptions
        if self.fingerprint is not None:
            added["$exception_fingerprint"] = self.fingerprint.value
            added["$exception_proposed_fingerprint"] = self.proposed
            added["$exception_fingerprint_record"] = self.fingerprint.record
        if issue_id:
            added["$exception_issue_id"] = issue_id
            self.event.issue_id = issue_id
        if self.errors:
            added["$cymbal_errors"] = self.errors
        try:
            own = _raw_object.decode(self.event.raw_properties)
        except (msgspec.DecodeError, RecursionError):  # nested too deep: the event stays as it came
            return
        # A client cannot choose an issue or an error.
        for name in ("$exception_issue_id", "$cymbal_errors", *added):
            own.pop(name, None)
        kept = msgspec.json.encode(own)
        self.event.replace_properties(b"".join((kept[:-1], b"," if own and added else b"", _members(added))))


def prepare(event: StoredEvent, resolve: Resolve, release: Mapping[str, Any] | None = None) -> Prepared:
    """Return *event* prepared; a list that cannot be read leaves the reason in `errors`.

    *release* has the facts of the release that the event names by its id.
    """
    prepared = Prepared(event)
    releases: dict[str, Any] = {str(release["hash_id"]): release} if release is not None else {}

    def noted(raw: Mapping[str, Any]) -> Resolution | None:
        found = resolve(raw)
        if found is not None and found.release is not None:
            releases[str(found.release["hash_id"])] = found.release
        return found

    try:
        prepared.exceptions = canonical_list(event.properties, event.uuid, noted)
    except BrokenListError as error:
        prepared.errors.append(str(error))
        return prepared
    stacks = [each["stacktrace"]["frames"] for each in prepared.exceptions if "stacktrace" in each]
    handled = prepared.exceptions[0].get("mechanism", {}).get("handled")
    prepared.derived = {
        "$exception_types": _unique(each["type"] for each in prepared.exceptions),
        "$exception_values": _unique(each["value"] for each in prepared.exceptions),
        "$exception_sources": _of_all(stacks, "sources", _sources),
        "$exception_functions": _of_all(stacks, "functions", _functions),
        "$exception_handled": handled is True,
        **({"$exception_releases": releases} if releases else {}),
    }
    if releases and not release_of(event.properties):
        # What lists and filters read; an event of a bundle often names its release by id alone.
        prepared.derived["$release_version"] = next(iter(releases.values()))["version"]
    return prepared


def release_of(properties: Mapping[str, Any]) -> str:
    """Return the version of the app that an event names, or ''."""
    for name in ("$release", "$release_version", "$app_version"):
        value = properties.get(name)
        if isinstance(value, (str, int, float)) and str(value):
            return str(value)[:400]
    return ""


def _of_all(
    stacks: Sequence[Sequence[Any]], name: str, compute: Callable[[Sequence[Any]], Sequence[str]]
) -> Sequence[str]:
    if len(stacks) == 1:
        return derive(stacks[0], name, compute)
    return _unique(text for stack in stacks for text in derive(stack, name, compute))


def _sources(frames: Iterable[Mapping[str, Any]]) -> list[str]:
    return _unique(frame["source"] for frame in frames)


def _functions(frames: Iterable[Mapping[str, Any]]) -> list[str]:
    return _unique(frame["resolved_name"] or frame["mangled_name"] for frame in frames)


def _members(added: Mapping[str, Any]) -> bytes:
    """Return the JSON object *added* without its opening brace.

    The JSON of known frames is made once for all occurrences.
    """
    try:
        exceptions = [_with_known_json(each) for each in added.get("$exception_list", ())]
        return orjson.dumps({**added, "$exception_list": exceptions} if exceptions else added)[1:]
    except (TypeError, orjson.JSONEncodeError):  # a lone surrogate, or an integer beyond 64 bits
        return json.dumps(added).encode()[1:]


def _with_known_json(exception: dict[str, Any]) -> dict[str, Any]:
    stack = exception.get("stacktrace")
    if stack is None:
        return exception
    frames = derive(stack["frames"], "json", lambda frames: orjson.Fragment(orjson.dumps(frames)))
    return {**exception, "stacktrace": {**stack, "frames": frames}}


def _storable(text: str) -> str:
    return storable_text(text, for_nul="\N{REPLACEMENT CHARACTER}")


def _unique(texts: Iterable[str | None]) -> list[str]:
    return list(dict.fromkeys(text for text in texts if text))[:_MAX_LIST]
