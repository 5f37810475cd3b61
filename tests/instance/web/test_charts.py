"""Charts as text: their shapes, their escaping, and the absence of style attributes."""

import re

import pytest

from hogline_instance.web.charts import bars, sparkline


def numbers(text):
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", text)]


def test_a_sparkline_runs_from_the_left_edge_to_the_right_with_the_largest_value_at_the_top():
    """Zero is at the bottom, since y grows downwards."""
    svg = sparkline([0, 5, 10], title="errors a day", width=100, height=20)
    points = re.search(r'points="([^"]*)"', svg)[1]
    assert points == "0,20 50,10 100,0"
    assert "<title>errors a day</title>" in svg


def test_bars_have_a_rectangle_for_each_value_that_is_not_zero():
    """Heights are proportional, and each bar starts at the bottom."""
    rects = re.findall(
        r'<rect x="([^"]*)" y="([^"]*)" width="([^"]*)" height="([^"]*)"/>',
        bars([4, 0, 2], title="t", width=30, height=20),
    )
    assert [(float(x), float(y), float(height)) for x, y, _, height in rects] == [(0, 0, 20), (20, 10, 10)]


@pytest.mark.parametrize("draw", [sparkline, bars])
@pytest.mark.parametrize("values", [[], [0], [0, 0], [7], [-3, 2], [1e12, 1], [0.1] * 500])
def test_any_values_are_drawn_inside_the_picture(draw, values):
    """No input divides by zero, and no coordinate leaves the view box."""
    svg = draw(values, title="t", width=100, height=20)
    assert bool(svg) == bool(values)
    for attribute in re.findall(r'(?:points|x|y|width|height)="([^"]*)"', svg):
        assert all(0 <= number <= 100 for number in numbers(attribute)), svg


@pytest.mark.parametrize("draw", [sparkline, bars])
def test_a_title_from_an_event_is_escaped_and_nothing_needs_a_style_attribute(draw):
    """The pages' policy allows neither inline style nor script."""
    svg = draw([1, 2], title="</title><script>alert(1)</script>")
    assert "<script" not in svg
    assert "style=" not in svg
    assert "&lt;script&gt;" in svg
