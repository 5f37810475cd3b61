"""What occurrences have in common: the measure, its minimum support, and the samples it reads."""

from datetime import UTC, datetime, timedelta

import pytest

from hogline_instance.errors.occurrences.comparison import Seen, in_common
from hogline_instance.errors.occurrences.queries import compared_since, routes


def seen(total, **values):
    """Return counts of values named `name__value`, each of as many people."""
    pairs = {tuple(name.split("__")): (count, count) for name, count in values.items()}
    carrying = {}
    for (name, _), (count, _people) in pairs.items():
        carrying[name] = carrying.get(name, 0) + count
    return Seen(total, carrying, {(name, f'"{value}"'): counts for (name, value), counts in pairs.items()})


def test_the_larger_and_surer_difference_comes_first():
    """9 of 10 is less sure than 90 of 100."""
    others = seen(1_000, plan__pro=500, plan__free=500, OS__x=100, OS__y=900)
    found = in_common(seen(100, plan__pro=90, plan__free=10, OS__x=40, OS__y=60), others)
    assert [(each.value, round(each.share, 2), round(each.usual, 2)) for each in found] == [
        ("pro", 0.9, 0.5),
        ("x", 0.4, 0.1),
    ]


def test_noise_and_small_numbers_are_not_shown():
    """Equal shares, four occurrences, two people and few other events have no place."""
    others = seen(1_000, plan__pro=500, plan__free=500, rare__a=5)
    assert in_common(seen(100, plan__pro=52, plan__free=48), others) == []
    assert in_common(seen(4, plan__pro=4), others) == []
    assert in_common(Seen(50, {"plan": 50}, {("plan", '"pro"'): (50, 2)}), others) == []
    assert in_common(seen(50, rare__a=50), others) == []
    assert in_common(Seen(0, {}, {}), Seen(0, {}, {})) == []


def test_flags_come_first():
    """A flag with a smaller difference stands before a property with a larger one."""
    names = {"$feature/new": "test", "plan": "pro"}
    make = lambda total, flag, plan: Seen(  # noqa: E731
        total, dict.fromkeys(names, total), {("$feature/new", '"test"'): (flag, flag), ("plan", '"pro"'): (plan, plan)}
    )
    found = in_common(make(100, 80, 99), make(1_000, 500, 100))
    assert [(each.label, each.is_flag) for each in found] == [("new", True), ("plan", False)]


@pytest.mark.parametrize(
    ("volume", "days"),
    [([0] * 30, 30), ([9] * 30, 30), ([0] * 29 + [5_000], 1), ([9_000] * 28 + [1_990, 9], 3), ([100_000] * 30, 1)],
)
def test_the_latest_days_with_enough_occurrences_are_compared(volume, days):
    """A large issue is compared over few days, and a small one over all."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    assert compared_since(volume) == (today - timedelta(days=days - 1), sum(volume[-days:]))


def test_routes_of_a_sample_are_estimates_for_all_occurrences():
    """Paths count only where there are no routes; without either there is no list."""
    whole = routes(seen(10, **{"$request_route__/pay": 7, "$request_route__/cart": 3, "$pathname__/x": 10}), 10)
    assert (whole.values, whole.is_estimate) == ((("/pay", 7), ("/cart", 3)), False)
    sampled = routes(seen(10, **{"$pathname__/x": 10}), 1_000)
    assert (sampled.values, sampled.is_estimate) == ((("/x", 1_000),), True)
    assert routes(seen(10, plan__pro=10), 10) is None
