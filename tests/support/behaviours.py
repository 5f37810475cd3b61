"""The rules that tests show, and the tests of each; the documentation's page of behaviours uses
them.

The rules' names and sentences are in docs/internals/rules.md, in its section "What tests show". A
test that is marked `@shows("same-response")` shows that rule; the first line of its docstring says
how.
"""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
shows = pytest.mark.shows
"""The name of the marker, whose arguments are names of rules."""

_PAGE = ROOT / "docs" / "internals" / "rules.md"
_GROUP = re.compile(r"^\*\*(?P<title>[^*]+)\.\*\* (?P<links>.+?)(?:\n\n|\Z)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[`([\w-]+)`\]\(#\1\)")
_RULE = re.compile(r"^### (?P<name>[\w-]+)\n\n\*\*(?P<sentence>.+?)\*\*", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Shown:
    """A test that shows a rule."""

    path: str
    name: str
    sentence: str


def rules() -> dict[str, dict[str, str]]:
    """Return names and sentences of the rules that tests have to show, by group."""
    page = _PAGE.read_text()
    _, _, listed = page.partition("## What tests show\n")
    sentences = {found["name"]: " ".join(found["sentence"].split()) for found in _RULE.finditer(page)}
    groups = {found["title"]: _LINK.findall(found["links"]) for found in _GROUP.finditer(listed.partition("\n### ")[0])}
    return {title: {name: sentences[name] for name in names} for title, names in groups.items()}


def shown() -> dict[str, list[Shown]]:
    """Return the tests of each rule that at least one test names."""
    found: dict[str, list[Shown]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            sentence = (ast.get_docstring(node) or "").partition("\n")[0]
            for name in _marked(node):
                found.setdefault(name, []).append(Shown(str(path.relative_to(ROOT)), node.name, sentence))
    return found


def _marked(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Return the names in the marker of a test."""
    return [
        argument.value
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", None) == "shows"
        for argument in decorator.args
        if isinstance(argument, ast.Constant)
    ]


ELSEWHERE: dict[str, str] = {}
"""Rules that no test can show, each with its reason."""
