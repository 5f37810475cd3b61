"""Small charts as SVG text, drawn by pure functions.

They have no style attribute, since the pages' security policy would refuse it: colours come from
`style.css` through classes. A table or a sentence beside a chart gives the same facts, and its
`<title>` gives them to screen readers.
"""

from collections.abc import Sequence

from markupsafe import Markup, escape  # comes with Jinja, whose templates take it as escaped

__all__ = ["bars", "sparkline"]

_WIDTH, _HEIGHT = 120, 28
_GAP = 1


def sparkline(values: Sequence[float], *, title: str, width: int = _WIDTH, height: int = _HEIGHT) -> Markup:
    """Return a line through *values*, scaled from zero to the largest; '' without values."""
    if not values:
        return Markup()
    top = max(*values, 0) or 1
    step = width / max(len(values) - 1, 1)
    points = [f"{_number(index * step)},{_number(_y(value, top, height))}" for index, value in enumerate(values)]
    if len(points) == 1:  # one value becomes a horizontal line
        points.append(f"{width},{points[0].partition(',')[2]}")
    return _svg("sparkline", f'<polyline points="{" ".join(points)}" fill="none"/>', title, width, height)


def bars(values: Sequence[float], *, title: str, width: int = _WIDTH, height: int = _HEIGHT) -> Markup:
    """Return a bar for each of *values*; the largest has the full height. '' without values."""
    if not values:
        return Markup()
    top = max(*values, 0) or 1
    step = width / len(values)
    drawn = "".join(
        f'<rect x="{_number(index * step)}" y="{_number(_y(value, top, height))}"'
        f' width="{_number(max(step - _GAP, step / 2))}" height="{_number(height - _y(value, top, height))}"/>'
        for index, value in enumerate(values)
        if value > 0
    )
    return _svg("bars", drawn, title, width, height)


def _y(value: float, top: float, height: int) -> float:
    return height - max(value, 0) / top * height


def _svg(kind: str, inside: str, title: str, width: int, height: int) -> Markup:
    # *inside* holds only numbers and class names of ours; the title may hold content of events.
    return Markup(  # noqa: S704 - the title is escaped
        f'<svg class="chart {kind}" role="img" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
        f"<title>{escape(title)}</title>{inside}</svg>"
    )


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
