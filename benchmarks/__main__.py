"""`./dev bench [NAME ...]`: run every benchmark, or the named ones, each in a process of its own."""

import subprocess
import sys
from pathlib import Path

from benchmarks.figures import machine

NAMES = ["capture", "interceptor", "delivery", "import_time", "instance_ingest", "first_event"]


def main() -> int:
    wanted = sys.argv[1:] or NAMES
    unknown = [name for name in wanted if name not in NAMES]
    if unknown:
        print(f"no benchmark {unknown[0]!r}; there are: {', '.join(NAMES)}", file=sys.stderr)
        return 2
    print(machine())
    failed = 0
    for name in wanted:
        print(f"\n{name.replace('_', ' ')}", flush=True)
        failed += (
            subprocess.run(
                [sys.executable, "-m", f"benchmarks.{name}"], cwd=Path(__file__).parents[1], check=False
            ).returncode
            != 0
        )
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
