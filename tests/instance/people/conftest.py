"""Fixtures: an empty database of each kind, and nodes that process batches over it."""

import pytest

from hogline_instance.db import Database
from hogline_instance.projects.tables import ProjectRow
from tests.instance.people.batches import Node


@pytest.fixture
def database(database_url):
    opened = Database(database_url)
    opened.migrate()
    with opened.transaction() as session:
        session.add_all([ProjectRow(id=number, name=f"p{number}", token=f"phc_{number}") for number in (1, 2)])
    yield opened
    opened.close()


@pytest.fixture
def node(database, tmp_path):
    """One node over an empty database."""
    return Node(database, tmp_path / "node")
