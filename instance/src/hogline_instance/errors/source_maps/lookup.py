"""Original positions of a minified script, from its source map. Pure.

Source: docs/internals/management-api.md#symbol-sets-and-source-maps.
"""

import json
from bisect import bisect_right
from typing import Any

import ecma426

from hogline_instance.errors.source_maps.functions import enclosing_function, function_scopes

__all__ = ["MapError", "ScriptMap"]

_CONTEXT = 5
_MAX_LINE = 300
_MAX_SOURCE_CHARS = 20_000_000
_XSSI = ")]}'"


class MapError(ValueError):
    """The map cannot be read; the text says why."""


class ScriptMap:
    """A minified script with its map. Raises MapError."""

    def __init__(self, source: bytes, source_map: bytes) -> None:
        self._source = source.decode("utf-8", "replace")
        self._lines = [0, *(place + 1 for place, character in enumerate(self._source) if character == "\n")]
        try:
            text = source_map.decode("utf-8", "replace")
            if text.startswith(_XSSI):
                text = text.partition("\n")[2]
            raw = json.loads(text)
            self._index = ecma426.decode(raw)
        except (ValueError, TypeError, KeyError, RecursionError, AttributeError) as error:
            raise MapError(f"the source map cannot be read: {error}"[:300]) from error
        self._contents = _contents(raw)
        self._scopes = function_scopes(self._source) if len(self._source) <= _MAX_SOURCE_CHARS else []

    def find(self, line: int, column: int) -> dict[str, Any]:
        """Return the original position of *line* and *column*, which browsers count from 1."""
        column = max(column - 1, 0)
        try:
            token = self._index.lookup_left(line - 1, column)
        except (IndexError, KeyError):
            return {"failure": "the source map has nothing at this position"}
        if not token.source:
            return {"failure": "the source map names no source at this position"}
        original = token.original_line + 1
        return {
            "source": token.source,
            "line": original,
            "column": token.original_column,
            "name": self._name(line, column),
            **self._context(token.source, original),
        }

    def _name(self, line: int, column: int) -> str | None:
        if not 0 < line <= len(self._lines):
            return None
        scope = enclosing_function(self._scopes, self._lines[line - 1] + column)
        if scope is None:
            return None
        if scope.name_at is None:
            return "<anonymous>"
        row = bisect_right(self._lines, scope.name_at) - 1
        try:
            token = self._index[row, scope.name_at - self._lines[row]]
        except KeyError:
            return scope.name
        return token.name or scope.name

    def _context(self, source: str, line: int) -> dict[str, Any]:
        lines = self._contents.get(source)
        if lines is None or line > len(lines):
            return {}
        cut = [text[:_MAX_LINE] for text in lines[max(line - 1 - _CONTEXT, 0) : line + _CONTEXT]]
        at = min(line - 1, _CONTEXT)
        return {"before": cut[:at], "current": cut[at], "after": cut[at + 1 :]}


def _contents(raw: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    parts = [section.get("map", {}) for section in raw["sections"]] if "sections" in raw else [raw]
    for part in parts:
        texts = part.get("sourcesContent")
        for name, text in zip(part.get("sources", ()), texts if isinstance(texts, list) else (), strict=False):
            if isinstance(name, str) and isinstance(text, str):
                found[name] = text.splitlines()
    return found
