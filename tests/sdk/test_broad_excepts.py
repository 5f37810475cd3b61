"""The page of broad excepts is true: it names every place that swallows an exception without the
guard, and they are few.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "sdk" / "src" / "hogline"
PAGE = ROOT / "docs" / "internals" / "broad-excepts.md"
BROAD = {"Exception", "BaseException"}
MOST_PER_THOUSAND_LINES = 2


def is_broad(kind):
    kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(one is None or (isinstance(one, ast.Name) and one.id in BROAD) for one in kinds)


def swallows(node):
    """Return whether *node* catches everything, and does not end by raising."""
    if isinstance(node, ast.ExceptHandler):
        return is_broad(node.type) and not isinstance(node.body[-1], ast.Raise)
    name = getattr(getattr(node, "func", None), "attr", getattr(getattr(node, "func", None), "id", ""))
    return isinstance(node, ast.Call) and name == "suppress" and any(is_broad(argument) for argument in node.args)


def places(path):
    """Yield the qualified name of each function of *path* that swallows, once for each handler."""

    def walk(node, names):
        inside = (
            [*names, node.name] if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) else names
        )
        for child in ast.iter_child_nodes(node):
            if swallows(child):
                yield ".".join(inside)
            yield from walk(child, inside)

    yield from walk(ast.parse(path.read_text()), [])


FILES = sorted(SOURCE.rglob("*.py"))


@pytest.fixture(scope="module")
def found():
    """The places in the SDK. A fixture, because every worker imports this file and one needs it."""
    return [(str(path.relative_to(SOURCE)), name) for path in FILES for name in places(path)]


def test_the_page_lists_every_place_and_no_other(found):
    """A change that adds one says why it is no guard.

    A change that removes one takes its row away.
    """
    rows = re.findall(r"^\| `([\w/.]+)` \| `([\w.]+)` \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    listed = {(file, name) for file, name, _ in rows}
    assert set(found) - listed == set(), "use guard(), or add a row with the reason"
    assert listed - set(found) == set(), "these rows are about nothing any more"
    assert all(len(reason) > 10 for _, _, reason in rows)


def test_they_are_few(found):
    """A reader can read all of them."""
    lines = sum(len(path.read_text().splitlines()) for path in FILES)
    assert len(found) / lines * 1000 < MOST_PER_THOUSAND_LINES


def test_a_new_one_would_be_found(tmp_path):
    """Each of its forms is found."""
    (tmp_path / "new.py").write_text(
        "class A:\n    def f(self):\n        try: ...\n        except (ValueError, Exception): pass\n"
        "def g():\n    with suppress(Exception): ...\n    try: ...\n    except: pass\n"
        "def h():\n    try: ...\n    except BaseException: raise\n"
    )
    assert list(places(tmp_path / "new.py")) == ["A.f", "g", "g"]
