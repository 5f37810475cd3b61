"""`./dev bench [--record] [NAME ...]`: run every benchmark, or the named ones, each in its own
process.

`--record` writes the figures to docs/reference/figures.json, from which the documentation makes its
tables.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.figures import RECORD, machine

NAMES = [
    "server",
    "capture",
    "flags",
    "latency",
    "exceptions",
    "interceptor",
    "delivery",
    "import_time",
    "footprint",
    "instance_ingest",
    "people",
    "people_pages",
    "flag_requests",
    "issue",
    "bugsink",
    "first_event",
    "frameworks",
]
ON_DEMAND = ["soak"]  # takes minutes for each framework, so it runs only when named


_ROOT = Path(__file__).parents[1]
_FIGURES = _ROOT / "docs" / "reference" / "figures.json"


def main() -> int:
    records = "--record" in sys.argv[1:]
    wanted = [name for name in sys.argv[1:] if name != "--record"] or NAMES
    unknown = [name for name in wanted if name not in [*NAMES, *ON_DEMAND]]
    if unknown:
        print(f"unknown benchmark {unknown[0]!r}; choose from: {', '.join([*NAMES, *ON_DEMAND])}", file=sys.stderr)
        return 2
    print(machine())
    failed, found = 0, {}
    for name in wanted:
        print(f"\n{name.replace('_', ' ')}", flush=True)
        with tempfile.NamedTemporaryFile("r") as lines:
            own_record = ["--record"] if records and name in ON_DEMAND else []
            command = [sys.executable, "-m", f"benchmarks.{name}", *own_record]
            run = subprocess.run(command, cwd=_ROOT, check=False, env={**os.environ, RECORD: lines.name})
            found[name] = [json.loads(line) for line in lines]
        failed += run.returncode != 0
    if records and not failed:
        _keep(found)
    return int(failed > 0)


def _keep(found: dict[str, list[dict[str, object]]]) -> None:
    """Replace the recorded figures of the benchmarks that ran, and keep the others."""
    known = json.loads(_FIGURES.read_text())["figures"] if _FIGURES.exists() else {}
    merged = {name: figures for name, figures in {**known, **found}.items() if name in NAMES}
    _FIGURES.write_text(json.dumps({"machine": machine(), "figures": merged}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
