"""`./dev bench [--record] [NAME ...]`: run every benchmark, or the named ones, each in a process of its own.

`--record` keeps the figures in docs/reference/figures.json, which the documentation's tables are made of.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.figures import RECORD, machine

NAMES = [
    "capture",
    "flags",
    "latency",
    "exceptions",
    "interceptor",
    "delivery",
    "import_time",
    "footprint",
    "instance_ingest",
    "first_event",
    "frameworks",
]
ON_DEMAND = ["soak"]  # minutes for each framework: runs only when named


_ROOT = Path(__file__).parents[1]
_FIGURES = _ROOT / "docs" / "reference" / "figures.json"


def main() -> int:
    records = "--record" in sys.argv[1:]
    wanted = [name for name in sys.argv[1:] if name != "--record"] or NAMES
    unknown = [name for name in wanted if name not in [*NAMES, *ON_DEMAND]]
    if unknown:
        print(f"no benchmark {unknown[0]!r}; there are: {', '.join([*NAMES, *ON_DEMAND])}", file=sys.stderr)
        return 2
    print(machine())
    failed, found = 0, {}
    for name in wanted:
        print(f"\n{name.replace('_', ' ')}", flush=True)
        with tempfile.NamedTemporaryFile("r") as lines:
            keeps_itself = ["--record"] if records and name in ON_DEMAND else []
            command = [sys.executable, "-m", f"benchmarks.{name}", *keeps_itself]
            run = subprocess.run(command, cwd=_ROOT, check=False, env={**os.environ, RECORD: lines.name})
            found[name] = [json.loads(line) for line in lines]
        failed += run.returncode != 0
    if records and not failed:
        _keep(found)
    return int(failed > 0)


def _keep(found: dict[str, list[dict[str, object]]]) -> None:
    """Put the figures of this run in the place of older ones of the same benchmarks."""
    known = json.loads(_FIGURES.read_text())["figures"] if _FIGURES.exists() else {}
    merged = {name: figures for name, figures in {**known, **found}.items() if name in NAMES}
    _FIGURES.write_text(json.dumps({"machine": machine(), "figures": merged}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
