"""The hash, rollouts, variants and holdouts: the same people as on the server."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hogline.flags.evaluation import Ruleset, Subject
from hogline.flags.evaluation.bucketing import Variants, fraction, held_out


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("beta-ui.user-1", 0.499564016265942), ("beta-ui.user-1variant", 0.2584094375086564), ("holdout-user-1", 0.17805599206573022),
        ("beta-ui.héllo", 0.6397749521002042), ("beta-ui.", 0.3938439524573814), ("simple-flag.distinct_id_0", 0.7836963764220432),
        ("multi.user_42variant", 0.3901405479511591), ("beta.u1", 0.8783111790), ("beta.u1variant", 0.7117881554), ("holdout-u1", 0.5110294319),
    ],
)  # fmt: skip
def test_the_hash_is_the_servers(text, place):
    """docs/internals/flags-protocol.md#hash and
    docs/internals/flags-protocol.md#hash-and-decision-on-the-server.
    """
    assert fraction(text) == pytest.approx(place, abs=1e-10)


@given(st.text())
def test_every_text_falls_between_0_and_1(text):
    """This holds for every distinct id, except lone surrogates."""
    assert 0.0 <= fraction(text) <= 1.0


@given(st.lists(st.floats(0, 100), min_size=1, max_size=6), st.text(max_size=5))
def test_variants_whose_shares_fill_the_whole_leave_nobody_out(shares, who):
    """The ranges follow each other in the list's order."""
    shares = [*shares, 100]
    picked = Variants([{"key": str(n), "rollout_percentage": share} for n, share in enumerate(shares)]).pick("f", who)
    place = fraction(f"f.{who}variant")
    ends = [sum(shares[: n + 1]) / 100 for n in range(len(shares))]
    assert picked == str(next(n for n, end in enumerate(ends) if place < end or end == ends[-1]))


def test_a_rollout_grows_and_never_changes_places():
    """A person who was in at 30 % is in at 60 %."""
    people = [f"user-{n}" for n in range(400)]

    def inside(percentage):
        ruleset = Ruleset(
            {"flags": [{"key": "f", "active": True, "filters": {"groups": [{"rollout_percentage": percentage}]}}]}
        )
        return {who for who in people if ruleset.verdict("f", Subject(who)).value}

    sizes = [inside(percentage) for percentage in (0, 30, 60, 100)]
    assert all(small < large for small, large in itertools.pairwise(sizes))
    assert not sizes[0]
    assert len(sizes[-1]) == 400
    assert 80 < len(sizes[1]) < 160


@pytest.mark.parametrize(
    ("holdout", "value"),
    [
        ({"id": 7, "exclusion_percentage": 100}, "holdout-7"), ({"id": 7, "exclusion_percentage": 150}, "holdout-7"),
        ({"id": 7, "exclusion_percentage": 18}, "holdout-7"), ({"id": 7, "exclusion_percentage": 17}, None),
        ({"id": 7, "exclusion_percentage": -3}, None), ({"id": 7}, None), ({"exclusion_percentage": 100}, None), (None, None),
    ],
)  # fmt: skip
def test_a_holdout_keeps_its_people_out_of_every_flag(holdout, value):
    """`holdout-user-1` falls at 0.178."""
    assert held_out(holdout, "user-1") == value
