"""`{behaviours}`: every row with the tests that show it, read from the tests' docstrings."""

import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from tables import marked

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.behaviours import ELSEWHERE, ROWS, Shown, shown


class Behaviours(SphinxDirective):
    """The directive."""

    def run(self) -> list[nodes.Node]:
        """Return a section for each group of rows."""
        tested = shown()
        sections: list[nodes.Node] = []
        for title, rows in ROWS.items():
            section = nodes.section(ids=[nodes.make_id(title)])
            section += nodes.title(text=title)
            for number, sentence in rows.items():
                paragraph = nodes.paragraph()
                paragraph += nodes.strong(text=f"{number}. ")
                paragraph += marked(sentence)
                section += paragraph
                section += _tests(tested.get(number, []), ELSEWHERE.get(number))
            sections.append(section)
        return sections


def _tests(tests: list[Shown], otherwise: str | None) -> nodes.Node:
    listed = nodes.bullet_list()
    for test in tests:
        item = nodes.paragraph("", "", nodes.literal(text=f"{Path(test.path).name}"), nodes.Text(" "))
        item += marked(test.sentence or test.name.removeprefix("test_").replace("_", " "))
        listed += nodes.list_item("", item)
    if not tests:
        listed += nodes.list_item("", nodes.paragraph(text=f"no test: {otherwise}"))
    return listed


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("behaviours", Behaviours)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
