"""The directive `{figures} NAME ...`.

It shows the recorded results of those benchmarks (docs/reference/figures.json, `./dev bench
--record`).
"""

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from tables import table

RECORDED = Path(__file__).parents[1] / "reference" / "figures.json"


def rows(names: list[str]) -> list[tuple[str, str, str, str]]:
    """Return a row for each figure of the benchmarks *names*.

    A row is (what, ours, budget, peers as multiples of ours).
    """
    figures = json.loads(RECORDED.read_text())["figures"]
    found = []
    for figure in (figure for name in names for figure in figures.get(name, ())):
        budget = figure["budget"]
        limit = "" if budget is None else f"{'at least' if figure['more_is_better'] else 'at most'} {_number(budget)}"
        peers = ", ".join(f"{peer} {_ratio(figure, value)}" for peer, value in figure["peers"])
        peers = "; ".join(text for text in (peers, figure.get("note")) if text)
        found.append((figure["name"], f"{_number(figure['value'])} {figure['unit']}", limit, peers))
    return found


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _ratio(figure: dict[str, Any], value: float) -> str:
    if figure["value"] <= 0:  # a difference that is smaller than its noise
        return f"{_number(value)} {figure['unit']}"
    ratio = figure["value"] / value if figure["more_is_better"] else value / figure["value"]
    return f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.1f}"


class FiguresTable(SphinxDirective):
    """The directive."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        self.env.note_dependency(str(RECORDED))
        titles = ["", "Hogline", "Budget", "Peers, times ours"]
        found = rows(self.arguments[0].split())
        if not found:
            command = f"./dev bench --record {self.arguments[0]}"
            return [nodes.paragraph("", "Not recorded yet: ", nodes.literal(text=command))]
        return [table(titles, (40, 15, 15, 40), found)]


class Machine(SphinxDirective):
    """`{machine}`: the machine that the figures were measured on."""

    def run(self) -> list[nodes.Node]:
        """Return the paragraph."""
        return [nodes.paragraph(text=json.loads(RECORDED.read_text())["machine"])]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("figures", FiguresTable)
    app.add_directive("machine", Machine)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
