"""Accepted events arrive once, for every process model.

This holds for every way to make its processes and every way to end them. Each model runs here with
each of its endings; `./dev nightly` runs every ending with and without preload.

`python -m tests.support.matrix` prints the same as a table.
"""

import os

import pytest

from tests.support.matrix import MODELS, cells, covering, run_cell

CHOSEN = cells if os.environ.get("HOGLINE_EVERY_SERVER") else covering
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


@pytest.mark.timeout(400)
@pytest.mark.parametrize("cell", [cell for model in MODELS for cell in CHOSEN(model)], ids=str)
def test_nothing_is_lost_and_nothing_is_sent_twice(cell, sink, tmp_path):
    """This holds wherever the process gets to run its exit handlers, or has a spool."""
    outcome = run_cell(cell, sink, tmp_path)
    assert outcome.accepted
    assert (outcome.lost, outcome.duplicated) == (0, 0), outcome.log[-3000:]
