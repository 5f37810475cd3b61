"""`{options} client|interceptor|instance`: a table of every option, read from where it is declared."""

import dataclasses
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from hogline.settings import ClientSettings, InterceptorSettings, environment_variables
from hogline_instance.settings import Settings as InstanceSettings

_CLASSES = {
    "client": ClientSettings,
    "interceptor": InterceptorSettings,
    "instance": InstanceSettings,
}


def rows(kind: str) -> list[tuple[str, str, str, str]]:
    """Return (option, default, meaning, environment) for each option of *kind*."""
    found = []
    for declared in dataclasses.fields(_CLASSES[kind]):
        if kind == "client":
            variables = environment_variables(declared)
        elif kind == "instance":
            name = "LISTEN_HOST" if declared.name == "host" else declared.name.upper()
            variables = (f"HOGLINE_{name}",)
        else:
            variables = ()
        found.append((declared.name, _shown(declared.default), declared.metadata["text"], ", ".join(variables)))
    return found


def _shown(default: Any) -> str:
    if isinstance(default, int) and not isinstance(default, bool) and default >= 1024 and default % 1024 == 0:
        return f"{default:,} ({default // 1024:,} KiB)"
    return str(default) if not isinstance(default, str) else repr(default)


class OptionsTable(SphinxDirective):
    """The directive."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        kind = self.arguments[0]
        with_environment = kind != "interceptor"
        titles = ["Option", "Default", "Meaning", *(["Environment"] if with_environment else [])]
        table = nodes.table()
        group = nodes.tgroup(cols=len(titles))
        table += group
        for width in (20, 15, 50, 25)[: len(titles)]:
            group += nodes.colspec(colwidth=width)
        head = nodes.thead()
        group += head
        head += _row([nodes.paragraph(text=title) for title in titles])
        body = nodes.tbody()
        group += body
        for name, default, text, variables in rows(kind):
            cells = [
                nodes.paragraph("", "", nodes.literal(text=name)),
                nodes.paragraph("", "", nodes.literal(text=default)),
                nodes.paragraph("", "", *_marked(text)),
            ]
            if with_environment:
                cells.append(nodes.paragraph("", "", nodes.literal(text=variables)) if variables else nodes.paragraph())
            body += _row(cells)
        return [table]


def _marked(text: str) -> list[nodes.Node]:
    """Return *text* with its `code` as code."""
    parts = text.split("`")
    return [nodes.literal(text=part) if n % 2 else nodes.Text(part) for n, part in enumerate(parts) if part]


def _row(cells: list[nodes.Node]) -> nodes.row:
    row = nodes.row()
    for cell in cells:
        entry = nodes.entry()
        entry += cell
        row += entry
    return row


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("options", OptionsTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
