"""Frames of every language in one shape: file, module, function, line, and whether it is the app's.

Pure. A normalised frame keeps the bounded values that the SDK sent and adds the fields that
fingerprints, search and pages read.
Source: docs/internals/instance-protocol.md#frames-by-platform.
"""

import hashlib
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import orjson

__all__ = [
    "MAX_FRAMES", "Resolution", "Resolve", "cached_frames", "derive", "normalised_frame", "platform_of",
]  # fmt: skip

MAX_FRAMES = 250
_T = TypeVar("_T")
_VARIABLES = b'"code_variables"'
_MAX_TEXT = 2_000
_MAX_LINE = 1_000
_MAX_CONTEXT_LINES = 10
_MAX_VARIABLES_BYTES = 16 * 1024
_MINIFIED_COLUMN = 300
_PLACE = re.compile(r"(:\d+)+$")
_PYTHON_LIBRARY = re.compile(
    r"(^|[/\\])(site-packages|dist-packages)[/\\]|[/\\]lib[/\\]python\d+\.\d+[/\\]", re.IGNORECASE
)
_NODE_LIBRARY = re.compile(r"(^|[/\\])node_modules[/\\]")
_STANDARD_LIBRARY = sys.stdlib_module_names - {"__main__"}
_TEXTS = (
    "platform",
    "filename",
    "abs_path",
    "function",
    "module",
    "lang",
    "chunk_id",
    "map_id",
    "raw_id",
    "instruction_addr",
    "package",
)
_LANGUAGES = {
    "web:javascript": "javascript", "node:javascript": "javascript", "python": "python", "go": "go", "ruby": "ruby",
    "php": "php", "java": "java", "dart": "dart", "hermes": "javascript", "native": "native", "rust": "rust",
    "apple": "swift", "elixir": "elixir", "dotnet": "csharp",
}  # fmt: skip
# Frames of old SDKs name no platform; the library tells it.
_PLATFORMS = {
    "web": "web:javascript", "posthog-js": "web:javascript", "posthog-node": "node:javascript", "posthog-python": "python",
    "hogline": "python", "posthog-go": "go", "posthog-ruby": "ruby", "posthog-php": "php", "posthog-java": "java",
    "posthog-server": "java", "posthog-android": "java", "posthog-flutter": "dart", "posthog-rs": "rust",
    "posthog-elixir": "elixir", "posthog-ios": "apple", "posthog-react-native": "hermes", "posthog-dotnet": "dotnet",
}  # fmt: skip
_WITH_MAPS = frozenset({"web:javascript", "node:javascript"})
# Their functions are names only after a symbol upload.
_NEED_SYMBOLS = frozenset({"dart", "hermes", "apple"})


@dataclass(frozen=True, slots=True)
class Resolution:
    """The original position of a minified frame, which a source map gave, or why there is none."""

    source: str | None = None
    name: str | None = None
    line: int | None = None
    column: int | None = None
    failure: str | None = None
    before: tuple[str, ...] = ()
    current: str | None = None
    after: tuple[str, ...] = ()
    release: Mapping[str, Any] | None = None


Resolve = Callable[[Mapping[str, Any]], "Resolution | None"]
"""Look up a raw browser or Node.js frame; None when no map is known for it."""


def platform_of(raw: Mapping[str, Any], library: str) -> str:
    """Return the platform that *raw* names, or the one that *library* sends."""
    named = raw.get("platform")
    if isinstance(named, str) and named in _LANGUAGES:
        return named
    if named == "javascript":
        return _PLATFORMS.get(library, "web:javascript")
    return str(named)[:100] if isinstance(named, str) and named else _PLATFORMS.get(library, "custom")


class KnownFrames(list[dict[str, Any]]):
    """The normalised frames of a stack that occurs again and again. They never change.

    `derived` holds what was worked out from them, by name.
    """

    def __init__(self, frames: Iterable[dict[str, Any]]) -> None:
        super().__init__(frames)
        self.derived: dict[str, Any] = {}


def derive(frames: Sequence[Any], name: str, compute: Callable[[Sequence[Any]], _T]) -> _T:
    """Return `compute(frames)`, worked out once for known frames."""
    if not isinstance(frames, KnownFrames):
        return compute(frames)
    if name not in frames.derived:
        frames.derived[name] = compute(frames)
    return frames.derived[name]  # type: ignore[no-any-return]


class _Cache(dict[tuple[str, bytes], _T]):
    """Values by library and content, until they are too many bytes."""

    def __init__(self, max_value_bytes: int, max_bytes: int) -> None:
        super().__init__()
        self._max_value_bytes = max_value_bytes
        self._left = self._max_bytes = max_bytes

    def takes(self, content: bytes) -> bool:
        """Return whether *content* is small enough."""
        return len(content) <= self._max_value_bytes

    def keep(self, library: str, content: bytes, value: _T) -> _T:
        """Store and return *value*."""
        self._left -= len(content)
        if self._left < 0:
            self.clear()
            self._left = self._max_bytes - len(content)
        self[library, content] = value
        return value


_known_frames: _Cache[dict[str, Any]] = _Cache(4_096, 4_000_000)
_known_stacks: _Cache[KnownFrames] = _Cache(64_000, 8_000_000)


def cached_frames(raw: Sequence[Mapping[str, Any]], library: str, resolve: Resolve) -> Sequence[dict[str, Any]]:
    """Return the normalised frames of a stack, the same ones each time that its content occurs.

    The caller must not change them. A stack with frames that a source map may resolve is not kept,
    and neither is one with variables, which differ each time.
    """
    content = _content(raw)
    if content is None or not _known_stacks.takes(content) or _VARIABLES in content:
        return [cached_frame(frame, library, resolve) for frame in raw]
    found = _known_stacks.get((library, content))
    if found is not None:
        return found
    frames = [cached_frame(frame, library, resolve) for frame in raw]
    if any(frame["platform"] in _WITH_MAPS for frame in frames):
        return frames
    return _known_stacks.keep(library, content, KnownFrames(frames))


def cached_frame(raw: Mapping[str, Any], library: str, resolve: Resolve) -> dict[str, Any]:
    """Return `normalised_frame`, cached by content: the same frames come with each occurrence.

    The caller must not change it. Frames that a source map may resolve are not cached.
    """
    content = _content(raw) if platform_of(raw, library) not in _WITH_MAPS else None
    if content is None or not _known_frames.takes(content):
        return normalised_frame(raw, library, resolve)
    found = _known_frames.get((library, content))
    return found if found is not None else _known_frames.keep(library, content, normalised_frame(raw, library, resolve))


def _content(raw: object) -> bytes | None:
    try:
        return orjson.dumps(raw)
    except (TypeError, orjson.JSONEncodeError):
        return None


def normalised_frame(raw: Mapping[str, Any], library: str, resolve: Resolve, *, index: int = 0) -> dict[str, Any]:
    """Return *raw* bounded, with the fields of a normalised frame."""
    kept = _bounded(raw)
    platform = platform_of(raw, library)
    line, column = _number(raw.get("lineno", raw.get("line"))), _number(raw.get("colno", raw.get("column")))
    frame: dict[str, Any] = {
        **kept,
        "platform": platform,
        "raw_id": f"{_identity(kept, line, column)}/{index}",
        "mangled_name": kept.get("function", ""),
        "line": line,
        "column": column,
        "source": kept.get("filename") or kept.get("source"),
        "module": kept.get("module"),
        "in_app": raw.get("in_app") is not False,
        "resolved_name": kept.get("function") or None,
        "lang": _LANGUAGES.get(platform) or kept.get("lang") or platform,
        "resolved": True,
        "resolve_failure": None,
        "synthetic": raw.get("synthetic") is True,
        "suspicious": False,
    }
    _BY_PLATFORM.get(platform, _other)(frame, kept, resolve)
    return frame


def _python(frame: dict[str, Any], kept: Mapping[str, Any], _resolve: Resolve) -> None:
    path = kept.get("abs_path", "")
    filename = kept.get("filename", "")
    if path:
        is_library = bool(_PYTHON_LIBRARY.search(path))
    else:
        is_library = kept.get("module", "").partition(".")[0] in _STANDARD_LIBRARY
    if is_library or _PYTHON_LIBRARY.search(filename) or filename.startswith("<frozen "):
        frame["in_app"] = False


def _node(frame: dict[str, Any], kept: Mapping[str, Any], resolve: Resolve) -> None:
    filename = kept.get("filename", "")
    if _NODE_LIBRARY.search(filename) or filename.startswith("node:"):
        frame["in_app"] = False
    if kept.get("chunk_id"):
        found = resolve(kept)
        if found is not None and found.failure is None:
            _apply(frame, found)
            return
        frame["source"] = None
        frame["resolve_failure"] = (found.failure if found else None) or "no source map was uploaded for this chunk id"
        context = [
            text
            for text in (*kept.get("pre_context", ()), kept.get("context_line", ""), *kept.get("post_context", ()))
            if text
        ]
        if context and sum(map(len, context)) / len(context) > _MINIFIED_COLUMN:
            frame["resolved_name"], frame["resolved"] = None, False


def _browser(frame: dict[str, Any], kept: Mapping[str, Any], resolve: Resolve) -> None:
    filename = kept.get("filename", "")
    frame["source"] = _url_path(filename)
    frame["module"] = None
    if filename == "<anonymous>":
        frame["in_app"] = False
    if frame["line"] is None:
        return
    found = resolve(kept)
    if found is not None and found.failure is None:
        _apply(frame, found)
    elif found is not None or kept.get("chunk_id"):
        reason = (found.failure if found else None) or "no source map was uploaded for this chunk id"
        frame.update(resolved_name=None, resolved=False, resolve_failure=f"the script was minified, and {reason}")
    elif (frame["column"] or 0) > _MINIFIED_COLUMN:
        frame.update(
            resolved_name=None, resolved=False, resolve_failure="the script looks minified, and no source map is known"
        )


def _java(frame: dict[str, Any], kept: Mapping[str, Any], _resolve: Resolve) -> None:
    if kept.get("map_id"):
        frame.update(
            resolved_name=None, resolved=False, resolve_failure="names are obfuscated, and mappings are not read"
        )


def _native(frame: dict[str, Any], kept: Mapping[str, Any], _resolve: Resolve) -> None:
    if not kept.get("function"):
        frame.update(resolved=False, resolve_failure="the frame names no function")


def _other(frame: dict[str, Any], kept: Mapping[str, Any], _resolve: Resolve) -> None:
    if frame["synthetic"]:  # a mark of the SDK, such as Dart's gap between asynchronous stacks
        return
    if frame["platform"] in _NEED_SYMBOLS and not kept.get("function"):
        frame.update(resolved=False, resolve_failure="names need uploaded symbols, which are not read")
    elif kept.get("resolved") is False:
        frame["resolved"] = False


_BY_PLATFORM: Mapping[str, Callable[[dict[str, Any], Mapping[str, Any], Resolve], None]] = {
    "python": _python, "node:javascript": _node, "web:javascript": _browser, "java": _java, "native": _native, "rust": _native,
}  # fmt: skip


def _apply(frame: dict[str, Any], found: Resolution) -> None:
    """Put the original position and its source lines into *frame*."""
    source = found.source or ""
    frame.update(
        source=found.source, module=None, resolved_name=found.name, line=found.line, column=found.column, resolved=True,
        in_app=not _NODE_LIBRARY.search(source), resolve_failure=None,
    )  # fmt: skip
    if found.current is not None:
        frame.update(
            pre_context=[text[:_MAX_LINE] for text in found.before],
            context_line=found.current[:_MAX_LINE],
            post_context=[text[:_MAX_LINE] for text in found.after],
        )


def _bounded(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the known values of *raw*, of the right type and size."""
    kept: dict[str, Any] = {}
    for name in _TEXTS:
        value = raw.get(name)
        if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "":
            kept[name] = str(value)[:_MAX_TEXT]
    for name in ("lineno", "colno"):
        if (number := _number(raw.get(name))) is not None:
            kept[name] = number
    for name in ("in_app", "resolved", "synthetic"):
        if isinstance(raw.get(name), bool):
            kept[name] = raw[name]
    if isinstance(raw.get("context_line"), str):
        kept["context_line"] = raw["context_line"][:_MAX_LINE]
        kept["pre_context"] = _lines(raw.get("pre_context"))[-_MAX_CONTEXT_LINES:]
        kept["post_context"] = _lines(raw.get("post_context"))[:_MAX_CONTEXT_LINES]
    variables = raw.get("code_variables", raw.get("vars"))
    if isinstance(variables, dict) and variables and _json_bytes(variables) <= _MAX_VARIABLES_BYTES:
        kept["code_variables"] = variables
    return kept


def _json_bytes(value: object) -> int:
    try:
        return len(orjson.dumps(value))
    except (TypeError, orjson.JSONEncodeError, RecursionError):  # an integer beyond 64 bits, or too deep
        return _MAX_VARIABLES_BYTES + 1


def _lines(value: object) -> Sequence[str]:
    return [line[:_MAX_LINE] for line in value if isinstance(line, str)] if isinstance(value, list) else []


def _url_path(filename: str) -> str | None:
    """Return the path of an http or https URL, without a trailing `:line:column`."""
    try:
        parts = urlsplit(filename)
    except ValueError:
        return None
    return _PLACE.sub("", parts.path) or None if parts.scheme in {"http", "https"} else None


def _identity(kept: Mapping[str, Any], line: int | None, column: int | None) -> str:
    names = ("platform", "filename", "abs_path", "function", "module", "chunk_id", "map_id", "instruction_addr")
    text = "\0".join([*(str(kept.get(name, "")) for name in names), str(line), str(column)])
    # Half of sha256: an event holds the id of each frame twice.
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


def _number(value: object) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else None
