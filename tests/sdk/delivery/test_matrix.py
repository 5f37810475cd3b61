"""Every process model, every way to be made, every way to end: what was accepted arrives, once.

`python -m tests.support.matrix` prints the same table whole.
"""

import os

import pytest

from tests.support.matrix import MODELS, run_models

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


@pytest.mark.timeout(400)
@pytest.mark.parametrize("model", MODELS)
def test_nothing_is_lost_and_nothing_is_sent_twice(model, tmp_path, capsys):
    """Wherever a process gets to run its handlers, or has a spool."""
    outcomes = run_models([model], tmp_path)
    with capsys.disabled():
        print("", *outcomes, sep="\n")
    assert all(outcome.accepted for outcome in outcomes)
    wrong = [outcome for outcome in outcomes if outcome.lost or outcome.duplicated]
    assert wrong == [], "\n".join(f"{outcome}\n{outcome.log[-3000:]}" for outcome in wrong)
