"""Fingerprints: which exceptions are the same mistake.

Pure. Both of PostHog's algorithms stand here. An event gets the fingerprint of every version: an
issue that is known under an older one is kept, and a new issue is made under the newest.
Source: docs/internals/instance-protocol.md#fingerprints.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["VERSIONS", "Fingerprint", "custom", "manual", "version_1", "version_2"]

Exceptions = Sequence[Mapping[str, Any]]
_MAX_MANUAL_BYTES = 64
_MAX_RECORDED_FRAMES = 100
_HASH = re.compile(r"(?=[A-Za-z0-9]*[0-9])[A-Za-z0-9]{8,}")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_IDS = re.compile(
    r"0[xX][0-9a-fA-F]+|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|[0-9a-fA-F]{16,}"
)
_NUMBERS = re.compile(r"\d+(\.\d+)?")
_MAX_MESSAGE = 200


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A fingerprint, and the record of what was hashed."""

    value: str
    record: tuple[Mapping[str, Any], ...]


def manual(text: str) -> Fingerprint:
    """Return the fingerprint that the client named."""
    encoded = text.encode("utf-8", "replace")
    value = text if len(encoded) <= _MAX_MANUAL_BYTES else hashlib.sha512(encoded).hexdigest()
    return Fingerprint(value, ({"type": "manual"},))


def custom(rule_id: str) -> Fingerprint:
    """Return the fingerprint of a grouping rule."""
    return Fingerprint(f"custom-rule:{rule_id}", ({"type": "custom", "rule_id": rule_id},))


def version_1(exceptions: Exceptions) -> Fingerprint:
    """Return the first algorithm's fingerprint: the resolved frames of the app."""
    return _hashed(exceptions, message=str, chosen=_chosen, add_frame=_add_frame_1)


def version_2(exceptions: Exceptions) -> Fingerprint:
    """Return the second algorithm's fingerprint: every frame, but no line, path, hash or number."""
    return _hashed(exceptions, message=normalised_message, chosen=list, add_frame=_add_frame_2)


def _hashed(
    exceptions: Exceptions,
    *,
    message: Callable[[str], str],
    chosen: Callable[[Any], Any],
    add_frame: Callable[["_Hashing", Any], None],
) -> Fingerprint:
    hashing = _Hashing()
    for exception in exceptions:
        pieces = ["Exception Type"]
        hashing.add(exception["type"])
        frames = _frames(exception)
        if frames is None:
            hashing.add(message(exception["value"]))
            pieces.append("Exception Message")
        hashing.note_exception(exception, pieces)
        for frame in chosen(frames or ()):
            add_frame(hashing, frame)
    return hashing.done()


VERSIONS: tuple[Callable[[Exceptions], Fingerprint], ...] = (version_1, version_2)
"""Every version, oldest first."""


def normalised_source(source: str) -> str:
    """Return the file name of *source*, with the hashes of bundlers replaced."""
    name = re.split(r"[/\\]", source.partition("?")[0])[-1]
    return _HASH.sub("*", name)


def normalised_message(message: str) -> str:
    """Return *message* without quoted texts, ids and numbers, cut."""
    text = _QUOTED.sub("'*'", message[:10_000])
    return _NUMBERS.sub("#", _IDS.sub("*", text))[:_MAX_MESSAGE]


class _Hashing:
    def __init__(self) -> None:
        self._hash = hashlib.sha512()
        self._record: list[Mapping[str, Any]] = []

    def add(self, text: object) -> None:
        self._hash.update(str(text).encode("utf-8", "replace"))

    def note_exception(self, exception: Mapping[str, Any], pieces: list[str]) -> None:
        self._record.append({"type": "exception", "id": exception.get("id"), "pieces": pieces})

    def note_frame(self, frame: Mapping[str, Any], pieces: list[str]) -> None:
        if len(self._record) < _MAX_RECORDED_FRAMES:
            self._record.append({"type": "frame", "raw_id": frame.get("raw_id"), "pieces": pieces})

    def done(self) -> Fingerprint:
        return Fingerprint(self._hash.hexdigest(), tuple(self._record))


def _frames(exception: Mapping[str, Any]) -> Sequence[Mapping[str, Any]] | None:
    """Return the frames of *exception*, or None without a stack; an empty list is a stack."""
    stack = exception.get("stacktrace")
    return stack["frames"] if isinstance(stack, Mapping) else None


def _chosen(frames: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    own = [frame for frame in frames if frame["in_app"]]
    if not own:
        return frames[:1]
    if not any(frame["resolved"] for frame in frames):
        return own
    return [frame for frame in own if frame["resolved"]]


def _add_frame_1(hashing: _Hashing, frame: Mapping[str, Any]) -> None:
    pieces = []
    if frame.get("source"):
        hashing.add(frame["source"])
        pieces.append("Source file name")
    if frame.get("module"):
        hashing.add(frame["module"])
        pieces.append("Module name")
    if frame.get("resolved_name"):
        hashing.add(frame["resolved_name"])
        pieces.append("Resolved function name")
    else:
        hashing.add(frame.get("mangled_name", ""))
        pieces.append("Mangled function name")
        for name, label in (("line", "Source line"), ("column", "Source column"), ("lang", "Language")):
            if frame.get(name) is not None:
                hashing.add(frame[name])
                pieces.append(label)
    hashing.note_frame(frame, pieces)


def _add_frame_2(hashing: _Hashing, frame: Mapping[str, Any]) -> None:
    pieces = []
    if frame.get("source"):
        hashing.add(normalised_source(frame["source"]))
        pieces.append("Source file name")
    if frame.get("module"):
        hashing.add(str(frame["module"]).partition("?")[0])
        pieces.append("Module name")
    if frame.get("resolved_name"):
        hashing.add(frame["resolved_name"])
        pieces.append("Resolved function name")
    else:
        hashing.add(frame.get("mangled_name", ""))
        hashing.add(frame.get("lang", ""))
        pieces += ["Mangled function name", "Language"]
    hashing.note_frame(frame, pieces)
