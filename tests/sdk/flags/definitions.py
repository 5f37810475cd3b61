"""Definitions and subjects as hypothesis strategies, and posthog-python's local evaluation of them:
the judge.
"""

import posthog as official
from hypothesis import strategies as st

from hogline.flags.evaluation import Ruleset, Subject

KEYS = ["plan", "age", "email", "version", "signed_up", "flag"]
GROUP_TYPES = {"0": "company", "1": "project"}
FLAG_KEYS = ["first", "second", "third", "fourth"]

words = st.sampled_from(
    ["", "a", "A", "free", "Enterprise", "ENTERPRISE", "true", "True", "false", "null", "1", "1.0", "01", "10", "-3.5", "1e3", ".5", "nan",
     "user@Example.com", "Straße", "İstanbul", "naïve\n", "2024-02-29", "2024", "2023-06-01T12:00:00Z", "2023-06-01 12:00:00 UTC",
     "2023-06-01T12:00:00 +02:00", "-7d", "3m", "1y", "10000d", "12z", "1.2.3", "v1.2", "1.2.3-beta+5", "0.0.4", "0.3", "1.*", "1.2.*",
     "01.2", "1.2.3.4", "x", " 1.2.3 "]
)  # fmt: skip
numbers = st.one_of(
    st.integers(-5, 30), st.floats(-5, 30).map(lambda number: round(number, 2)), st.sampled_from([1e-5, 1e16, 1.5e-7, 2**60])
)  # fmt: skip
scalars = st.one_of(words, numbers, st.booleans(), st.none())
values = st.one_of(
    scalars,
    st.lists(scalars, max_size=3),
    st.dictionaries(st.sampled_from(["b", "a"]), scalars, max_size=2),
)
patterns = st.sampled_from(
    ["", "a", "^a", "e$", "A|e", "[a-z]+", "[^a-z]", r"\d+", r"\w+@\w+", r"\s", ".*", "(a|e)+", "(?:x)?", "a{1,2}", "(", ")", "[a", "a\\",
     "*a", "a{2,1}", r"(?i)a", r"\bfree\b", "(a+)+", "a++", "(?=a)", r"[\d-z]", r"\x41", "[[:alpha:]]", "a&&b", "[a&&b]", "^*", r"\.com$",
     "ß", r"\p{L}", "x|*", "{a}", "a}", "]"]
)  # fmt: skip
text_operators = ["icontains", "not_icontains", "starts_with", "not_starts_with", "ends_with", "not_ends_with"]
semver_operators = [
    "semver_eq",
    "semver_neq",
    "semver_gt",
    "semver_gte",
    "semver_lt",
    "semver_lte",
    "semver_tilde",
    "semver_caret",
    "semver_wildcard",
]
operators = st.one_of(
    st.sampled_from(["exact", "is_not", "is_set", "is_not_set", None]),
    st.sampled_from(text_operators),
    st.sampled_from(["gt", "gte", "lt", "lte", "is_date_before", "is_date_after"]),
    st.sampled_from(semver_operators),
    st.sampled_from(["wat", "between"]),
)


likely = st.sampled_from(["a", "b", "1", True])  # filters and properties that meet


@st.composite
def property_filters(draw):
    chance = draw(st.integers(0, 9))
    if chance > 4:
        operator, value = draw(st.sampled_from(["exact", "is_not", "icontains", "gte"])), draw(likely)
    elif chance == 0:
        operator, value = draw(st.sampled_from(["regex", "not_regex"])), draw(patterns)
    else:
        operator, value = draw(operators), draw(values)
    return {"key": draw(st.sampled_from(KEYS)), "value": value, "operator": operator, "type": "person"}


def cohort_filters():
    return st.builds(
        lambda number, operator: {"key": "id", "type": "cohort", "value": number, "operator": operator},
        st.sampled_from([1, "2", 3, 99]),
        st.sampled_from(["in", "not_in", "exact", None, "wat"]),
    )


def flag_filters(below):
    return st.builds(
        lambda key, value, operator, chain: {
            "key": key, "type": "flag", "value": value, "operator": operator, "dependency_chain": chain if chain is not None else [key]
        },
        st.sampled_from(below),
        st.sampled_from([True, False, "a", "b", "A", None, 3]),
        st.sampled_from(["flag_evaluates_to"] * 4 + ["exact"]),
        st.sampled_from([None] * 6 + [[], ["missing"]]),
    )  # fmt: skip


@st.composite
def cohorts(draw):
    entries = st.one_of(
        st.tuples(property_filters(), st.booleans()).map(lambda pair: pair[0] | {"negation": pair[1]}),
        st.just({}),
        st.just("broken"),
    )
    group = st.builds(
        lambda kind, values: {"type": kind, "values": values},
        st.sampled_from(["AND", "OR"]),
        st.lists(entries, max_size=3),
    )
    nested = st.builds(
        lambda kind, values: {"type": kind, "values": values},
        st.sampled_from(["AND", "OR"]),
        st.lists(st.one_of(group, entries, cohort_filters().filter(lambda one: one["value"] != 3)), max_size=3),
    )
    return {
        "1": draw(group), "2": draw(st.one_of(group, st.just({}), st.just({"type": "XOR", "values": []}))), "3": draw(nested),
    }  # fmt: skip


variants = st.sampled_from(
    [
        None,
        [],
        [{"key": "a", "rollout_percentage": 50}, {"key": "b", "rollout_percentage": 50}],
        [{"key": "a", "rollout_percentage": 30}],
    ]
)


@st.composite
def flags(draw, key, below):
    is_group = draw(st.integers(0, 4)) == 0
    aggregation = draw(st.sampled_from([0, 1, 7])) if is_group else None
    filters = [property_filters(), property_filters(), cohort_filters()]
    if below and not is_group:
        filters.append(flag_filters(below))
    conditions = []
    for _ in range(draw(st.integers(0, 3))):
        condition = {
            "properties": draw(st.one_of(st.none(), st.lists(st.one_of(filters), max_size=3))),
            "rollout_percentage": draw(st.sampled_from([None, 0, 30, 50.5, 100])),
            "variant": draw(st.sampled_from([None, None, "a", "z"])),
        }
        if not is_group and draw(st.integers(0, 5)) == 0:
            condition["aggregation_group_type_index"] = draw(st.sampled_from([0, 1, 7]))
            # posthog-python asks other flags with the wrong properties here: see the list of
            # differences.
            condition["properties"] = [one for one in condition["properties"] or [] if one["type"] != "flag"]
        conditions.append(condition)
    return {
        "id": draw(st.integers(1, 99)),
        "key": key,
        "active": draw(st.sampled_from([True] * 8 + [False])),
        "version": 3,
        "ensure_experience_continuity": draw(st.sampled_from([None] * 8 + [True])),
        "bucketing_identifier": draw(st.sampled_from([None, None, "distinct_id", "device_id"])),
        "filters": {
            "groups": conditions,
            "multivariate": {"variants": draw(variants)},
            "aggregation_group_type_index": aggregation,
            "early_exit": draw(st.sampled_from([None, False, True])),
            "holdout": draw(st.sampled_from([None] * 6 + [{"id": 4, "exclusion_percentage": 30}, {"id": 5, "exclusion_percentage": 100}])),
            "feature_enrollment": draw(st.sampled_from([None] * 10 + [True])),
            "payloads": draw(st.sampled_from([None, {"true": '{"a": 1}', "a": '"x"', "false": "0"}, {"true": "no json"}])),
        },
    }  # fmt: skip


def depends_on_nothing_about_groups(flag):
    """posthog-python evaluates a flag that others depend on as if all of it were about the
    person.
    """
    inner = flag["filters"]
    return inner["aggregation_group_type_index"] is None and not any(
        "aggregation_group_type_index" in condition for condition in inner["groups"]
    )


@st.composite
def definitions(draw):
    made = []
    for key in FLAG_KEYS[: draw(st.integers(1, 4))]:
        below = [flag["key"] for flag in made if depends_on_nothing_about_groups(flag)]
        made.append(draw(flags(key, below)))
    return {
        "flags": made,
        "group_type_mapping": GROUP_TYPES,
        "cohorts": draw(cohorts()),
        "property_matching_version": draw(st.sampled_from([None, 1, 2])),
    }


property_values = st.one_of(
    st.dictionaries(st.sampled_from([*KEYS, "$feature_enrollment/first"]), values, max_size=5),
    st.fixed_dictionaries(dict.fromkeys(KEYS, likely)),
)
subjects = st.fixed_dictionaries(
    {
        "distinct_id": st.sampled_from(["u1", "u2", "u3", "héllo", "42"]),
        "person_properties": property_values,
        "groups": st.dictionaries(st.sampled_from(["company", "project"]), st.sampled_from(["acme", "7"]), max_size=2),
        "group_properties": st.dictionaries(st.sampled_from(["company", "project"]), property_values, max_size=2),
        "device_id": st.sampled_from([None, "d1"]),
    }
)


class Judge:
    """posthog-python's local evaluation."""

    def __init__(self):
        self.client = official.Posthog(
            "phc_x", host="http://127.0.0.1:9", secret_key="phs_x", enable_local_evaluation=False
        )
        self.client.log.disabled = True

    def load(self, given):
        client = self.client
        client.feature_flags = given["flags"]
        client.group_type_mapping = given["group_type_mapping"]
        client.cohorts = given["cohorts"]
        client._property_matching_version = given["property_matching_version"] or 1

    def answers(self, given, subject):
        """Return value or reason by flag."""
        self.load(given)
        snapshot = self.client.evaluate_flags(**subject, only_evaluate_locally=True)
        values = {key: snapshot.get_flag(key, send_feature_flag_events=False) for key in snapshot.keys}
        payloads = {key: snapshot.get_flag_payload(key) for key in snapshot.keys}
        return values, {key: str(reason.value) for key, reason in snapshot.unresolved_flags.items()}, payloads


def ours(given, subject):
    """Return the same of our evaluation."""
    ruleset = Ruleset(given)
    who = Subject(
        subject["distinct_id"],
        person_properties={"distinct_id": subject["distinct_id"], **subject["person_properties"]},
        groups=subject["groups"],
        group_properties={
            kind: {"$group_key": key, **subject["group_properties"].get(kind, {})}
            for kind, key in subject["groups"].items()
        },
        device_id=subject["device_id"],
    )
    values, reasons, payloads = {}, {}, {}
    for flag in given["flags"]:
        verdict = ruleset.verdict(flag["key"], who)
        if verdict.value is None:
            reasons[flag["key"]] = verdict.unresolved.value
        else:
            values[flag["key"]] = verdict.value
            payloads[flag["key"]] = ruleset.flag(flag["key"]).payload(verdict.value)
    return values, reasons, payloads
