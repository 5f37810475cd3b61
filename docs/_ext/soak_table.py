"""The directive `{soak}`.

It shows the recorded result of each framework's long soak (docs/reference/soak.json, `./dev bench
--record soak`).
"""

import json
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from tables import table

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.frameworks import FRAMEWORKS

RECORDED = Path(__file__).parents[1] / "reference" / "soak.json"
_TITLES = (
    "framework", "version", "server", "visitors", "left early", "events", "wrong visitor", "missing", "objects left", "requests", "memory",
)  # fmt: skip


def rows() -> list[list[str]]:
    """Return a row for each framework of the suite's table; one that was never soaked says so."""
    found = json.loads(RECORDED.read_text())
    return [_row(row.name, found.get(row.name)) for row in FRAMEWORKS]


def _row(name: str, found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return [name, "not soaked yet", *[""] * (len(_TITLES) - 2)]
    counts = [f"{found[key]:,}" for key in ("visitors", "left", "events", "mixed", "missing", "alive", "requests")]
    return [name, found["version"] or "", found["server"], *counts, f"{found['grown_mib']:+.2f} MiB"]


class SoakTable(SphinxDirective):
    """The directive."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        self.env.note_dependency(str(RECORDED))
        return [table(_TITLES, [10] * len(_TITLES), rows())]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("soak", SoakTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
