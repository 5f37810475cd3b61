"""Sphinx configuration: MyST pages, Furo, warnings as errors (`./dev docs`)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))
sys.path.insert(0, str(Path(__file__).parent / "_inventories"))

from names import PROJECTS

from hogline.version import __version__

project = "Hogline"
author = "Hogline maintainers"
copyright = "2026, Hogline maintainers"
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx.ext.intersphinx",
    "behaviours",
    "command_help",
    "figures_table",
    "options_table",
    "soak_table",
    "support_matrix",
]
exclude_patterns = ["_build", "_ext", "_inventories"]
html_theme = "furo"
html_title = f"Hogline {release}"
html_static_path = ["_static"]
templates_path: list[str] = []
default_role = "code"  # docstrings write code between single backticks

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
# They pin versions of others that the tests' environment cannot have; only their names are needed
# here.
autodoc_mock_imports = ["ellar", "nestipy", "nest"]
# Building fetches nothing: each inventory stands in _inventories, which says how to add a name.
intersphinx_mapping = {
    name: (project.url, str(Path(__file__).parent / "_inventories" / f"{name}.inv"))
    for name, project in PROJECTS.items()
}
nitpicky = True
nitpick_ignore_regex = [
    (r"py:class", r"(.*\.|~)?_[A-Z]\w*"),  # type variables
    (r"py:class", r"hogline\.(context|flags\.overrides|flags\.called_events)\.\w+"),  # what a caller never names
    (r"py:class", r"nestipy\..*"),  # publishes no page of its classes
    (r"py:class", r"FlagValue"),  # a type alias: bool, text, number, object or None
]
