"""`{options} client|interceptor|task|instance`: a table of every option, read from its declaration."""

import dataclasses
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from tables import table

from hogline.settings import ClientSettings, InterceptorSettings, TaskSettings, environment_variables
from hogline_instance.settings import Settings as InstanceSettings

_CLASSES = {
    "client": ClientSettings,
    "interceptor": InterceptorSettings,
    "task": TaskSettings,
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
        with_environment = kind not in ("interceptor", "task")
        titles = ["Option", "Default", "Meaning", *(["Environment"] if with_environment else [])]
        shown = (
            [_code(name), _code(default), text, _code(variables)][: len(titles)]
            for name, default, text, variables in rows(kind)
        )
        return [table(titles, (20, 15, 50, 25)[: len(titles)], shown)]


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("options", OptionsTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
