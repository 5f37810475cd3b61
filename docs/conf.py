"""Sphinx configuration: MyST pages, Furo, warnings as errors (`./dev docs`)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from hogline.version import __version__

project = "Hogline"
author = "Hogline maintainers"
copyright = "2026, Hogline maintainers"
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "behaviours",
    "figures_table",
    "options_table",
    "promises",
    "soak_table",
]
exclude_patterns = ["_build", "_ext"]
html_theme = "furo"
html_title = f"Hogline {release}"
html_static_path = ["_static"]
templates_path: list[str] = []

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
autodoc_typehints = "description"
autodoc_member_order = "bysource"
nitpicky = True
nitpick_ignore_regex = [
    # Types of the standard library and of optional frameworks: no inventory is fetched while building.
    (r"py:.*", r".*"),
]
