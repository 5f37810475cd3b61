"""Import rules of the instance that import-linter's contracts in pyproject.toml can't express."""

import ast
import re
from pathlib import Path

import pytest

import hogline_instance
from hogline_instance.features import FEATURES

ROOT = Path(hogline_instance.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
NAMES = {feature.name for feature in FEATURES}
ALLOWED_OF_SDK = ("hogline.event", "hogline.wire", "hogline.flags.evaluation", "hogline.version")


def imported(path):
    """Yield the full names of all imports in the file, at any level."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(path):
    return path.relative_to(ROOT).parts[0]


def is_sql(text):
    return bool(
        re.match(
            r"\s*(SELECT\s.+\sFROM|INSERT INTO|ALTER TABLE|CREATE TABLE|DELETE FROM|UPDATE \w+ SET)\s", text, re.DOTALL
        )
    )


def test_every_feature_in_the_list_is_a_folder_and_the_other_way_round():
    """A folder that nobody lists would be dead code."""
    engine = {"db", "demo", "events", "ingest", "journal", "pipeline", "query", "store", "web"}
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders - engine == NAMES


@pytest.mark.parametrize(
    "path", [path for path in FILES if room(path) in NAMES], ids=lambda path: str(path.relative_to(ROOT))
)
def test_a_feature_uses_another_only_through_its_face(path):
    """It imports names from the other's `__init__`, and no module below it."""
    others = NAMES - {room(path)}
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "hogline_instance" and len(parts) > 2 and parts[1] in others:
            face = ast.parse((ROOT / parts[1] / "__init__.py").read_text())
            exported = {
                element.value
                for node in face.body
                if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
                for element in node.value.elts
            }
            assert len(parts) == 3, name
            assert parts[2] in exported, name


@pytest.mark.parametrize(
    "path", [path for path in FILES if room(path) != "demo"], ids=lambda path: str(path.relative_to(ROOT))
)
def test_the_instance_takes_only_event_wire_and_flag_evaluation_from_the_sdk(path):
    """The server must not import the SDK's client, threads and context."""
    for name in imported(path):
        if name.split(".")[0] == "hogline":
            assert name.startswith(ALLOWED_OF_SDK), name


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if room(path) not in ("query", "store", "db") and path.name != "queries.py"],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_sql_text_stands_only_in_query_store_and_queries(path):
    """All SQL text is found by file name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            assert not is_sql(
                "".join(getattr(part, "value", "x") if isinstance(part, ast.Constant) else "x" for part in node.values)
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert not is_sql(node.value), node.value[:80]
        elif isinstance(node, ast.Attribute) and node.attr == "create_engine":
            pytest.fail("create_engine outside db/")


@pytest.mark.parametrize(
    "path", [path for path in FILES if room(path) != "db"], ids=lambda path: str(path.relative_to(ROOT))
)
def test_only_db_opens_sql_engines(path):
    """`Database` hands out sessions; no other module makes an engine."""
    assert not [
        name for name in imported(path) if name in ("sqlalchemy.create_engine", "sqlalchemy.engine.create_engine")
    ]
