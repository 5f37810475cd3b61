"""`{command-help} NAME`: what `hogline NAME --help` prints, or `./dev`'s usage."""

import contextlib
import io
import os
import subprocess
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[2]


def commands() -> list[str]:
    """Return the names of the installed subcommands of `hogline`."""
    return sorted(entry.name for entry in entry_points(group="hogline.commands"))


def help_of(name: str) -> str:
    """Return the help text of the subcommand *name*, or of `./dev`."""
    if name == "./dev":
        return subprocess.run(["/bin/sh", "dev"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    [entry] = entry_points(group="hogline.commands", name=name)
    columns, os.environ["COLUMNS"] = os.environ.get("COLUMNS"), "88"
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            entry.load()(["--help"])
    finally:
        del os.environ["COLUMNS"]
        if columns is not None:
            os.environ["COLUMNS"] = columns
    return printed.getvalue()


class CommandHelp(SphinxDirective):
    """The directive."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the text as a block."""
        text = help_of(self.arguments[0])
        if not text.startswith("usage:"):
            raise self.error(f"no help of {self.arguments[0]!r}: {text[:200]!r}")
        return [nodes.literal_block(text, text, language="text")]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
