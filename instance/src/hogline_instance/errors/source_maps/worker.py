"""The process that applies source maps: `python -m hogline_instance.errors.source_maps.worker`.

A map comes from outside, so a hostile one may take memory and time: this process has a limit of
memory, and its parent ends it when it takes too long. It reads requests from standard input: a line
of JSON, then as many bytes as it says; it answers each with a line of JSON.
"""

import json
import resource
import sys
from collections import OrderedDict
from typing import Any

from hogline_instance.errors.source_maps.container import ContainerError, unpack
from hogline_instance.errors.source_maps.lookup import MapError, ScriptMap

_MAX_MEMORY_BYTES = 1536 * 1024 * 1024
_MAX_MAPS = 8


def main() -> None:
    """Answer requests until standard input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY_BYTES, _MAX_MEMORY_BYTES))
    maps: OrderedDict[str, ScriptMap] = OrderedDict()
    sys.stdout.write(json.dumps({"ready": True}) + "\n")
    sys.stdout.flush()
    while line := sys.stdin.buffer.readline():
        request = json.loads(line)
        blob = sys.stdin.buffer.read(request["bytes"]) if request["bytes"] else b""
        sys.stdout.write(json.dumps(_answer(maps, request, blob)) + "\n")
        sys.stdout.flush()


def _answer(maps: "OrderedDict[str, ScriptMap]", request: dict[str, Any], blob: bytes) -> dict[str, Any]:
    key = request["key"]
    if blob:
        try:
            maps[key] = ScriptMap(*unpack(blob))
        except (ContainerError, MapError) as error:
            return {"failure": str(error)}
        except MemoryError:
            maps.clear()
            return {"failure": "the source map needs more memory than is allowed"}
        if len(maps) > _MAX_MAPS:
            maps.popitem(last=False)
    if key not in maps:
        return {"missing": True}
    maps.move_to_end(key)
    return {"found": [maps[key].find(line, column) for line, column in request["positions"]]}


if __name__ == "__main__":
    main()
