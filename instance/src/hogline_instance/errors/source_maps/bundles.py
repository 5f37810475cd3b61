"""Scripts of a build and their maps: find them, and give each script a chunk id.

Source: docs/internals/management-api.md#symbol-sets-and-source-maps.
"""

import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Bundle", "BundleError", "find_bundles", "inject"]

_CHUNK = re.compile(r"^//# chunkId=([0-9A-Za-z-]{1,100})\s*$", re.MULTILINE)
_MAPPING_URL = re.compile(r"^//[#@] sourceMappingURL=(\S+)\s*$", re.MULTILINE)
_STRICT = re.compile(r"\s*([\"'])use strict\1;?")
_NAMESPACE = uuid.UUID("0f3e5b1a-7a55-4a36-9d0f-6c7f6b6d9a11")
_SUFFIXES = frozenset({".js", ".mjs", ".cjs"})


class BundleError(ValueError):
    """A script or its map cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A script and its map on disk, and the chunk id that the script has, if any."""

    script: Path
    source_map: Path
    chunk_id: str | None


def find_bundles(folder: Path) -> Iterator[Bundle]:
    """Yield each script of *folder* that has a map beside it."""
    for script in sorted(folder.rglob("*")):
        if script.suffix not in _SUFFIXES or not script.is_file():
            continue
        text = script.read_text("utf-8", "replace")
        named = _MAPPING_URL.findall(text)
        source_map = script.with_name(f"{script.name}.map")
        if named and not named[-1].startswith(("data:", "http:", "https:")):
            source_map = (script.parent / named[-1].partition("?")[0]).resolve()
        # A path in a script must not lead out of the folder that the caller named.
        if source_map.is_file() and source_map.is_relative_to(folder.resolve()):
            chunk = _CHUNK.findall(text)
            yield Bundle(script, source_map, chunk[-1] if chunk else None)


def inject(bundle: Bundle) -> Bundle:
    """Write a chunk id into a script that has none, and shift its map by the added line.

    The id follows from the content, so the same build has the same ids. Raises BundleError.
    """
    if bundle.chunk_id is not None:
        return bundle
    text = bundle.script.read_text("utf-8", "replace")
    try:
        source_map = json.loads(bundle.source_map.read_text("utf-8", "replace"))
        _shift(source_map)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BundleError(f"{bundle.source_map} is no source map: {error}") from error
    chunk_id = str(uuid.uuid5(_NAMESPACE, text))
    strict = _STRICT.match(text)
    directive = '"use strict";' if strict is not None else ""  # only the first statement of a file can be one
    snippet = (
        f"{directive}(function(){{try{{var g=globalThis,s=new Error().stack;if(s){{"
        f'(g._posthogChunkIds=g._posthogChunkIds||{{}})[s]="{chunk_id}"}}}}catch(e){{}}}})();\n'
    )
    bundle.script.write_text(f"{snippet}{text.rstrip()}\n//# chunkId={chunk_id}\n", "utf-8")
    source_map["chunk_id"] = chunk_id
    bundle.source_map.write_text(json.dumps(source_map), "utf-8")
    return Bundle(bundle.script, bundle.source_map, chunk_id)


def _shift(source_map: "dict[str, object]") -> None:
    """Move the whole map down by one line."""
    sections = source_map.get("sections")
    if isinstance(sections, list):
        for section in sections:
            section["offset"]["line"] += 1
    else:
        mappings = source_map["mappings"]
        if not isinstance(mappings, str):
            raise TypeError("mappings must be a text")
        source_map["mappings"] = ";" + mappings
