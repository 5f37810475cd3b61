"""The directive `{behaviours}`.

It lists every rule that tests show, with these tests, read from their markers and docstrings.
"""

import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from tables import marked

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.behaviours import ELSEWHERE, Shown, rules, shown


class Behaviours(SphinxDirective):
    """The directive."""

    def run(self) -> list[nodes.Node]:
        """Return a section for each group of rules."""
        tested = shown()
        sections: list[nodes.Node] = []
        for title, names in rules().items():
            section = nodes.section(ids=[nodes.make_id(title)])
            section += nodes.title(text=title)
            for name, sentence in names.items():
                paragraph = nodes.paragraph()
                paragraph += _link(name)
                paragraph += nodes.Text(" ")
                paragraph += marked(sentence)
                section += paragraph
                section += _tests(tested.get(name, []), ELSEWHERE.get(name))
            sections.append(section)
        return sections


def _link(name: str) -> nodes.Node:
    """Return a link to the rule's own heading, under which its reason stands."""
    return nodes.reference("", "", nodes.literal(text=name), refuri=f"../internals/rules.html#{name}")


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
