"""Fixtures: a node that processes batches over an empty database of each kind."""

import pytest

from tests.instance.people.batches import Node


@pytest.fixture
def node(database, tmp_path):
    """One node over an empty database."""
    return Node(database, tmp_path / "node")
