"""Time that an import adds to the start of a process. Whole processes alternate, and the best of
each counts.
"""

import os
import subprocess
import sys
import time

from benchmarks.figures import Figure, print_figures

ROUNDS = 15
# Compile the packages once, as an installer does.
WITH_BYTECODE = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
STATEMENTS = {
    "nothing": "pass",
    "hogline": "import hogline",
    "posthog": "import posthog",
    "sentry": "import sentry_sdk",
}


def main() -> None:
    best = dict.fromkeys(STATEMENTS, float("inf"))
    for _ in range(ROUNDS):
        for name, statement in STATEMENTS.items():
            begun = time.perf_counter()
            subprocess.run([sys.executable, "-c", statement], env=WITH_BYTECODE, check=True)
            best[name] = min(best[name], (time.perf_counter() - begun) * 1e3)
    added = {name: value - best["nothing"] for name, value in best.items()}
    peers = (("import posthog", added["posthog"]), ("import sentry_sdk", added["sentry"]))
    print_figures([Figure("import hogline", added["hogline"], "ms", 40.0, peers)])


if __name__ == "__main__":
    main()
