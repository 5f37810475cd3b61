"""The directive `{support-matrix}`.

It shows which tests the suite has for each framework and server, with the last run's results if
there are any.
"""

import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from tables import table

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.frameworks import FRAMEWORKS, Framework
from tests.support.oldest import LIBRARIES
from tests.support.promises import GROUPS, Promise, cell, floor, last_results, pinned, pinned_version, promises


class SupportMatrix(SphinxDirective):
    """The directive."""

    def run(self) -> list[nodes.Node]:
        """Return the table, what each framework does not support, and the promises themselves."""
        known, results = promises(), last_results()
        titles = list(dict.fromkeys(GROUPS.values()))
        rows, complete = [], bool(results)
        for row in FRAMEWORKS:
            cells = [cell(row, title, known, results) for title in titles]
            complete = complete and all(each.ran for each in cells)
            newest = pinned(row)
            oldest = floor(row.oldest)[1] if row.oldest else ""
            rows.append([row.name, oldest, newest or "", ", ".join(row.servers), *(each.text for each in cells)])
        note = (
            "These are the results of the last complete run of the suite."
            if complete
            else "This is what the suite tests. Built after a complete run of the suite, the page shows its results."
        )
        return [
            nodes.paragraph(text=note),
            table(["framework", "oldest", "newest", "servers", *titles], [10] * (4 + len(titles)), rows),
            _section("Libraries with tests of their own", [_libraries()]),
            _section("What a framework does not support", [_lacks(row) for row in FRAMEWORKS]),
            _section("The promises", [_sentences(title, known) for title in titles]),
        ]


def _libraries() -> nodes.Node:
    found = [(library, *floor(library.oldest)) for library in LIBRARIES]
    rows = [[library.name, oldest, pinned_version(name) or ""] for library, name, oldest in found]
    return table(["library", "oldest", "newest"], [10] * 3, rows)


def _lacks(row: Framework) -> nodes.Node:
    section = nodes.section(ids=[f"lacks-{row.name}"])
    section += nodes.title(text=row.name)
    if row.route is not None:
        section += nodes.paragraph(
            "", "", nodes.Text("A route looks like "), nodes.literal(text=row.route), nodes.Text(".")
        )
    else:
        section += nodes.paragraph(text="It has no route templates: events have no $request_route.")
    if row.oldest:
        section += nodes.paragraph(
            "", "", nodes.Text("Oldest: "), nodes.literal(text=" ".join(row.oldest)), nodes.Text(".")
        )
    listed = nodes.bullet_list()
    for feature, reason in row.lacks.items():
        words = nodes.paragraph("", "", nodes.literal(text=feature), nodes.Text(f": {reason}"))
        listed += nodes.list_item("", words)
    if row.lacks:
        section += listed
    return section


def _sentences(title: str, known: list[Promise]) -> nodes.Node:
    section = nodes.section(ids=[nodes.make_id(f"promise-{title}")])
    section += nodes.title(text=title)
    listed = nodes.bullet_list()
    for promise in known:
        if promise.group == title:
            words = promise.test.removeprefix("test_").replace("_", " ")
            needed = f" (tested where there is {', '.join(promise.needs)})" if promise.needs else ""
            listed += nodes.list_item(
                "", nodes.paragraph("", "", nodes.strong(text=words), nodes.Text(f". {promise.sentence}{needed}"))
            )
    section += listed
    return section


def _section(title: str, parts: list[nodes.Node]) -> nodes.section:
    section = nodes.section(ids=[nodes.make_id(title)])
    section += nodes.title(text=title)
    section += parts
    return section


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("support-matrix", SupportMatrix)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
