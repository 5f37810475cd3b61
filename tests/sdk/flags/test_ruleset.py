"""Whole definitions: generated ones against posthog-python's local evaluation, and by hand what it
gets wrong.
"""

import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hogline.flags.evaluation import Ruleset, Subject, UnresolvedFlagReason
from tests.sdk.flags.definitions import Judge, definitions, ours, property_values, subjects


@pytest.fixture(scope="module")
def judge():
    made = Judge()
    yield made
    made.client.shutdown()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(given_=definitions(), subject=subjects)
def test_generated_definitions_are_judged_alike(judge, given_, subject):
    """Values and payloads agree, and where there is none, the reason.

    Values of theirs that are not certain are left out.
    """
    values, reasons, payloads = ours(given_, subject)
    their_values, their_reasons, their_payloads = judge.answers(given_, subject)
    guessed = set(reasons) - set(their_reasons)
    assert not guessed or any(decides_by_order(one) for one in given_["flags"])
    # Flags that depend on a flag whose value they guess may differ in every way.
    alike = {one["key"] for one in given_["flags"]} - guessed if guessed and not depends(given_) else None
    for mine, theirs in ((values, their_values), (reasons, their_reasons), (payloads, their_payloads)):
        if guessed and depends(given_):
            continue
        assert mine == theirs if alike is None else only(mine, alike) == only(theirs, alike)


def only(found, keys):
    return {key: value for key, value in found.items() if key in keys}


def decides_by_order(definition):
    """Return whether it matters which of the flag's conditions is met first."""
    inner = definition["filters"]
    return bool(inner["early_exit"] or inner["multivariate"]["variants"])


def depends(given_):
    return any(
        filter_["type"] == "flag"
        for definition in given_["flags"]
        for condition in definition["filters"]["groups"]
        for filter_ in condition["properties"] or []
    )


def few_properties(draw_from=("plan", "age")):
    return st.dictionaries(st.sampled_from(draw_from), st.sampled_from(["a", "b"]), max_size=2)


conditions = st.builds(
    lambda properties, percentage, variant: {
        "properties": properties,
        "rollout_percentage": percentage,
        "variant": variant,
    },
    st.lists(
        st.builds(
            lambda key, value: {"key": key, "value": value, "operator": "exact", "type": "person"},
            st.sampled_from(["plan", "age"]),
            st.sampled_from(["a", "b"]),
        ),
        max_size=1,
    ),
    st.sampled_from([0, 100, 100, None]),
    st.sampled_from([None, "one", "two"]),
)
ordered = st.builds(
    lambda groups, early, variants: flag(
        "f", *groups, filters={"early_exit": early, "multivariate": {"variants": variants}}
    ),
    st.lists(conditions, min_size=2, max_size=3),
    st.booleans(),
    st.sampled_from([[], [{"key": "one", "rollout_percentage": 50}, {"key": "two", "rollout_percentage": 50}]]),
)


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(definition=ordered, known=few_properties(), rest=few_properties())
def test_no_property_that_becomes_known_changes_the_order_of_conditions(definition, known, rest):
    """The same law where it is easy to break: conditions whose order decides."""
    partly = ask([definition], subject=Subject("u", person_properties=known)).value
    wholly = ask([definition], subject=Subject("u", person_properties={**rest, **known}, complete=True)).value
    assert partly in (None, wholly)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(given_=definitions(), subject=subjects, rest=property_values, of_groups=property_values)
def test_no_property_that_becomes_known_changes_an_answer(given_, subject, rest, of_groups):
    """An answer is certain: whatever the server knows beside what the app has passed, it says the
    same.
    """
    ruleset = Ruleset(given_)
    known = {"distinct_id": subject["distinct_id"], **subject["person_properties"]}
    groups = {kind: subject["group_properties"].get(kind, {}) for kind in subject["groups"]}
    about = {"groups": subject["groups"], "device_id": subject["device_id"] or "d1"}
    partly = Subject(subject["distinct_id"], person_properties=known, group_properties=groups, **about)
    wholly = Subject(
        subject["distinct_id"],
        person_properties={**rest, **known},
        group_properties={kind: {**of_groups, **properties} for kind, properties in groups.items()},
        complete=True,
        **about,
    )
    for key in ruleset.definitions:
        here, there = ruleset.verdict(key, partly), ruleset.verdict(key, wholly)
        if here.value is not None and there.value is not None:
            assert here.value == there.value, key


def flag(key="f", *conditions, **more):
    filters = {"groups": list(conditions), **more.pop("filters", {})}
    return {"id": 1, "key": key, "active": True, "filters": filters, **more}


def on(key, value=True, chain=None):
    return {
        "type": "flag",
        "key": key,
        "operator": "flag_evaluates_to",
        "value": value,
        "dependency_chain": chain or [key],
    }


def everybody(*properties):
    return {"properties": list(properties), "rollout_percentage": 100}


def ask(flags, key="f", subject=None, **definitions):
    return Ruleset({"flags": flags, **definitions}).verdict(key, subject or Subject("u"))


GROUPS = {"group_type_mapping": {"0": "company"}}
COMPANY = {"aggregation_group_type_index": 0}


@pytest.mark.parametrize(
    ("definition", "code", "index"),
    [
        (flag("f", everybody()), "condition_match", 0),
        (flag("f", {"rollout_percentage": 0}, everybody()), "condition_match", 1),
        (flag("f", {"rollout_percentage": 0}), "out_of_rollout_bound", 0),
        (flag("f"), "no_condition_match", None),
        (flag("f", everybody(), active=False), "flag_disabled", None),
        (
            flag("f", everybody(), filters={"holdout": {"id": 1, "exclusion_percentage": 100}}),
            "holdout_condition_value",
            None,
        ),
        (flag("f", everybody(), filters=COMPANY), "no_group_type", None),
    ],
)
def test_a_verdict_says_why(definition, code, index):
    """The reasons are the server's own words: the instance answers with these."""
    verdict = ask([definition], **GROUPS)
    assert (verdict.code, verdict.condition_index) == (code, index)
    assert verdict.description


def test_a_flag_that_a_persons_flag_depends_on_is_asked_about_its_group():
    """posthog-python asks it about the person: with the person's properties and the person's place
    in the rollout.
    """
    team = flag("team", everybody({"key": "size", "operator": "gt", "value": 5}), filters=COMPANY)
    asked = Subject(
        "u", person_properties={"size": 1}, groups={"company": "acme"}, group_properties={"company": {"size": 9}}
    )
    assert ask([team, flag("f", everybody(on("team")))], subject=asked, **GROUPS).value is True


def test_a_persons_condition_in_a_groups_flag_is_about_the_person():
    """`aggregation_group_type_index: null` on the condition.

    posthog-python reads the group's properties.
    """
    condition = everybody({"key": "plan", "operator": "exact", "value": "pro"}) | {"aggregation_group_type_index": None}
    asked = Subject(
        "u",
        person_properties={"plan": "pro"},
        groups={"company": "acme"},
        group_properties={"company": {"plan": "free"}},
    )
    assert ask([flag("f", condition, filters=COMPANY)], subject=asked, **GROUPS).value is True


YES, NO = {"key": "yes", "value": "1"}, {"key": "no", "value": "1"}
OPEN, STATIC = {"key": "open", "value": "1"}, {"type": "cohort", "key": "id", "value": 99}


def group(kind, *values):
    return {"type": kind, "values": list(values)}


@pytest.mark.parametrize(
    ("cohort", "expected"),
    [
        (group("AND", YES, YES), True), (group("AND", YES, NO), False), (group("AND", NO, NO), False), (group("OR", NO, YES), True),
        (group("OR", NO, NO), False), (group("AND", YES | {"negation": True}), False), (group("AND", NO | {"negation": True}), True),
        (group("AND", OPEN, NO), False), (group("AND", OPEN, YES), "missing_context"), (group("OR", OPEN, YES), True),
        (group("OR", OPEN, NO), "missing_context"), (group("OR", YES, STATIC), "unsupported_definition"),
        (group("AND", NO, STATIC), "unsupported_definition"), (group("OR", group("AND", YES, NO), group("AND", YES)), True),
        (group("AND", group("OR", NO), YES), False), (group("OR"), True), ({}, True), (group("AND", {}), True), (group("OR", {}, NO), True),
        (group("XOR", YES), "unsupported_definition"), (group("AND", "text"), "unsupported_definition"), (7, "unsupported_definition"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("operator", ["in", "not_in"])
def test_a_cohort_is_a_group_of_filters(judge, cohort, expected, operator):
    """A decisive member beats those that are unknown, and a fact that only the server knows beats
    all.

    This is judged as well.
    """
    asked = {"key": "id", "type": "cohort", "value": 1, "operator": operator}
    given_ = {
        "flags": [flag("f", everybody(asked))], "cohorts": {"1": cohort}, "group_type_mapping": {}, "property_matching_version": 1,
    }  # fmt: skip
    subject = {
        "distinct_id": "u",
        "person_properties": {"yes": "1", "no": "0"},
        "groups": {},
        "group_properties": {},
        "device_id": None,
    }
    values, reasons, _ = ours(given_, subject)
    found = values.get("f", reasons.get("f"))
    assert found == (expected if isinstance(expected, str) or operator == "in" else not expected)
    assert (values, reasons) == judge.answers(given_, subject)[:2]


STAFF = {"key": "email", "type": "person", "operator": "icontains", "value": "@acme.example"}
TWO = {
    "multivariate": {"variants": [{"key": "old", "rollout_percentage": 100}, {"key": "new", "rollout_percentage": 0}]}
}
INSIDE = {"email": "jo@acme.example"}
OUTSIDE = {"email": "jo@example.com"}


@pytest.mark.parametrize(
    ("definition", "unknown", "inside", "outside"),
    [
        # An override for one's own staff comes first, and the app does not pass the e-mail.
        (flag("f", everybody(STAFF) | {"variant": "new"}, everybody(), filters=TWO), None, "new", "old"),
        (flag("f", everybody(STAFF) | {"variant": "old"}, everybody(), filters=TWO), "old", "old", "old"),
        (flag("f", everybody(STAFF), everybody(), filters=TWO), "old", "old", "old"),
        (flag("f", everybody(STAFF), everybody()), True, True, True),
        (flag("f", {"properties": [STAFF], "rollout_percentage": 0}, everybody()), True, True, True),
        # With an early exit the first condition excludes those who meet it and are out of its
        # rollout.
        (
            flag("f", {"properties": [STAFF], "rollout_percentage": 0}, everybody(), filters={"early_exit": True}),
            None, False, True,
        ),
        (flag("f", everybody(STAFF), everybody(), filters={"early_exit": True}), True, True, True),
        (flag("f", everybody(), everybody(STAFF) | {"variant": "new"}, filters=TWO), "old", "old", "old"),
    ],
)  # fmt: skip
def test_an_answer_is_certain_only_if_no_earlier_condition_could_change_it(definition, unknown, inside, outside):
    """posthog-python takes the later match."""
    assert ask([definition]).value == unknown
    assert ask([definition], subject=Subject("u", person_properties=INSIDE)).value == inside
    assert ask([definition], subject=Subject("u", person_properties=OUTSIDE)).value == outside


def test_cohorts_and_dependent_flags_inherit_that_an_answer_is_not_certain():
    """A flag that asks for the variant of an uncertain one, and a cohort in the first condition."""
    uncertain = flag("f", everybody(STAFF) | {"variant": "new"}, everybody(), filters=TWO)
    dependent = flag("g", everybody(on("f", "old")))
    assert ask([uncertain, dependent], "g").unresolved is UnresolvedFlagReason.UNRESOLVED_DEPENDENCY
    assert ask([uncertain, dependent], "g", Subject("u", person_properties=INSIDE)).value is False
    in_cohort = everybody({"type": "cohort", "key": "id", "value": 1}) | {"variant": "new"}
    by_cohort = {"flags": [flag("f", in_cohort, everybody(), filters=TWO)], "cohorts": {"1": group("OR", STAFF)}}
    assert ask(**by_cohort).value is None
    assert ask(**by_cohort, subject=Subject("u", person_properties=OUTSIDE)).value == "old"


def test_flags_and_cohorts_that_meet_themselves_are_unresolved():
    """No recursion without end; the server says what they are."""
    ring = [flag("f", everybody(on("g"))), flag("g", everybody(on("h"))), flag("h", everybody(on("f")))]
    assert ask(ring).value is None
    assert ask(ring).unresolved is not None
    itself = {"cohorts": {"1": {"type": "AND", "values": [{"type": "cohort", "key": "id", "value": 1}]}}}
    verdict = ask([flag("f", everybody({"type": "cohort", "key": "id", "value": 1}))], **itself)
    assert verdict.unresolved is UnresolvedFlagReason.UNSUPPORTED_DEFINITION


def test_a_cohort_that_another_thread_is_making_does_not_meet_itself():
    """Two flags of one cohort, first asked for at once.

    The definitions hold the first thread up in the middle.
    """
    is_there, go_on = threading.Event(), threading.Event()

    class Cohorts(dict):
        def __getitem__(self, key):
            if threading.current_thread() is first:
                is_there.set()
                assert go_on.wait(20)
            return super().__getitem__(key)

    pro = {"key": "plan", "value": "pro", "operator": "exact", "type": "person"}
    in_cohort = everybody({"type": "cohort", "key": "id", "value": 5})
    rules = Ruleset(
        {"flags": [flag("a", in_cohort), flag("b", in_cohort)], "cohorts": Cohorts({"5": group("OR", pro)})}
    )
    subject = Subject("u", person_properties={"plan": "pro"})
    first = threading.Thread(target=rules.verdict, args=("a", subject))
    first.start()
    assert is_there.wait(20)
    assert rules.verdict("b", subject).value is True
    go_on.set()
    first.join(20)
    assert [rules.verdict(key, subject).value for key in "ab"] == [True, True]


def test_a_long_chain_of_flags_is_unresolved_rather_than_an_error():
    """Thousands of flags, each on the one before."""
    chain = [flag("f0", everybody())] + [flag(f"f{n}", everybody(on(f"f{n - 1}"))) for n in range(1, 3000)]
    assert ask(chain, "f20").value is True
    assert ask(chain, "f2999").unresolved is not None


def test_every_flag_is_asked_once_for_one_subject():
    """A flag that ten others depend on costs one evaluation."""
    asked = Subject("u")
    ruleset = Ruleset({"flags": [flag("f", everybody()), *(flag(f"g{n}", everybody(on("f"))) for n in range(10))]})
    assert all(ruleset.verdict(f"g{n}", asked).value for n in range(10))
    assert asked.found == {"f": True}


def test_the_server_knows_who_has_no_device_and_which_properties_are_unset():
    """A complete subject leaves nothing unresolved that the SDK must ask for."""
    unset = flag("f", everybody({"key": "plan", "operator": "is_not_set"}))
    device = flag("f", everybody(), bucketing_identifier="device_id")
    assert ask([unset], subject=Subject("u", complete=True)).value is True
    assert ask([device], subject=Subject("u", complete=True)).value is False
    assert ask([unset]).unresolved is UnresolvedFlagReason.MISSING_CONTEXT
    assert ask([device]).unresolved is UnresolvedFlagReason.MISSING_CONTEXT


anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    "key",
                    "groups",
                    "properties",
                    "filters",
                    "type",
                    "value",
                    "values",
                    "operator",
                    "variants",
                    "multivariate",
                ]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=40)
@given(st.dictionaries(st.sampled_from(["filters", "active", "bucketing_identifier"]), anything), anything)
def test_no_definition_makes_an_error(definition, group):
    """The result is a verdict, or unresolved, whatever the server or a cache file holds."""
    made = {"key": "f", "active": True, **definition}
    verdict = ask([made, "no flag", {"key": 3}], cohorts={"1": group})
    assert verdict is not None
