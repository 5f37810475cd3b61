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

from hogline_instance.errors.frames import derive

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


@dataclass(frozen=True, slots=True)
class _Hashed:
    """The part of a fingerprint that the frames of one stack make."""

    text: bytes
    record: tuple[Mapping[str, Any], ...]


def version_1(exceptions: Exceptions) -> Fingerprint:
    """Return the first algorithm's fingerprint: the resolved frames of the app."""
    return _hashed(exceptions, str, lambda frames: derive(frames, "version_1", _hashed_1))


def version_2(exceptions: Exceptions) -> Fingerprint:
    """Return the second algorithm's fingerprint: every frame, but no line, path, hash or number."""
    return _hashed(exceptions, normalised_message, lambda frames: derive(frames, "version_2", _hashed_2))


def _hashed(
    exceptions: Exceptions, message: Callable[[str], str], hashed: Callable[[Sequence[Mapping[str, Any]]], _Hashed]
) -> Fingerprint:
    digest = hashlib.sha512()
    record: list[Mapping[str, Any]] = []
    for exception in exceptions:
        pieces = ["Exception Type"]
        digest.update(_bytes(exception["type"]))
        frames = _frames(exception)
        if frames is None:
            digest.update(_bytes(message(exception["value"])))
            pieces.append("Exception Message")
        record.append({"type": "exception", "id": exception.get("id"), "pieces": pieces})
        if frames:
            of_frames = hashed(frames)
            digest.update(of_frames.text)
            record += of_frames.record[: max(_MAX_RECORDED_FRAMES - len(record), 0)]
    return Fingerprint(digest.hexdigest(), tuple(record))


def _hashed_1(frames: Sequence[Mapping[str, Any]]) -> _Hashed:
    return _joined([(frame, *_parts_1(frame)) for frame in _chosen(frames)])


def _hashed_2(frames: Sequence[Mapping[str, Any]]) -> _Hashed:
    return _joined([(frame, *_parts_2(frame)) for frame in frames])


def _joined(found: Sequence[tuple[Mapping[str, Any], list[object], list[str]]]) -> _Hashed:
    return _Hashed(
        b"".join(_bytes(part) for _, parts, _ in found for part in parts),
        tuple({"type": "frame", "raw_id": frame.get("raw_id"), "pieces": pieces} for frame, _, pieces in found),
    )


def _bytes(text: object) -> bytes:
    return str(text).encode("utf-8", "replace")


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


def _parts_1(frame: Mapping[str, Any]) -> tuple[list[object], list[str]]:
    """Return the values of *frame* that are hashed, and their names."""
    parts: list[object] = []
    pieces = []
    if frame.get("source"):
        parts.append(frame["source"])
        pieces.append("Source file name")
    if frame.get("module"):
        parts.append(frame["module"])
        pieces.append("Module name")
    if frame.get("resolved_name"):
        parts.append(frame["resolved_name"])
        pieces.append("Resolved function name")
    else:
        parts.append(frame.get("mangled_name", ""))
        pieces.append("Mangled function name")
        for name, label in (("line", "Source line"), ("column", "Source column"), ("lang", "Language")):
            if frame.get(name) is not None:
                parts.append(frame[name])
                pieces.append(label)
    return parts, pieces


def _parts_2(frame: Mapping[str, Any]) -> tuple[list[object], list[str]]:
    """Return the values of *frame* that are hashed, and their names."""
    parts: list[object] = []
    pieces = []
    if frame.get("source"):
        parts.append(normalised_source(frame["source"]))
        pieces.append("Source file name")
    if frame.get("module"):
        parts.append(str(frame["module"]).partition("?")[0])
        pieces.append("Module name")
    if frame.get("resolved_name"):
        parts.append(frame["resolved_name"])
        pieces.append("Resolved function name")
    else:
        parts += [frame.get("mangled_name", ""), frame.get("lang", "")]
        pieces += ["Mangled function name", "Language"]
    return parts, pieces
