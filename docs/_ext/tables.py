"""Tables for the directives beside this file: texts in, with `code` marked by backticks."""

from collections.abc import Iterable, Sequence

from docutils import nodes

__all__ = ["marked", "table"]


def table(titles: Sequence[str], widths: Sequence[int], rows: Iterable[Sequence[str]]) -> nodes.table:
    """Return a table of *titles*, relative column *widths*, and *rows* of texts."""
    whole, group = nodes.table(), nodes.tgroup(cols=len(titles))
    whole += group
    for width in widths:
        group += nodes.colspec(colwidth=width)
    head, body = nodes.thead(), nodes.tbody()
    head += _row(titles)
    for row in rows:
        body += _row(row)
    group += head
    group += body
    return whole


def _row(texts: Sequence[str]) -> nodes.row:
    row = nodes.row()
    for text in texts:
        entry = nodes.entry()
        entry += nodes.paragraph("", "", *marked(text))
        row += entry
    return row


def marked(text: str) -> list[nodes.Node]:
    """Return *text* with its `code` as code."""
    parts = text.split("`")
    return [nodes.literal(text=part) if n % 2 else nodes.Text(part) for n, part in enumerate(parts) if part]
