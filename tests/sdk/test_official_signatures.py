"""Our methods, functions and options take the arguments that the official package's take.

The migration page lists the exceptions.
"""

import dataclasses
import inspect
import re
import typing
from pathlib import Path

import posthog as official
import pytest
from posthog.client import Client as OfficialClient

import hogline
from hogline import PostHog
from hogline.settings import ClientSettings
from hogline.settings.absent import ABSENT

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "coming-from-posthog-python.md"
_NOT_GIVEN = inspect.Parameter.empty


def listed(heading):
    """Return the names in the first column of the table below *heading*."""
    section = PAGE.read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))


# Where only the module's function differs, and the client's method does not.
FUNCTIONS = set(re.findall(r"^\| `posthog\.(\w+)` \|", PAGE.read_text(), re.MULTILINE))
METHODS, OPTIONS = listed("Methods and functions"), listed("Options")


def parameters(function):
    """Return the parameters by name, `**kwargs: Unpack[...]` spelled out; `self` apart."""
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        unpacked = typing.get_args(parameter.annotation)
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD or not unpacked:
            found[name] = parameter
            continue
        found |= {
            key: inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=None)
            for key in unpacked[0].__annotations__
            if not key.startswith("_")
        }
    found.pop("self", None)
    return found


def public(holder):
    return {name for name in vars(holder) if not name.startswith("_")}


CLIENT = sorted(public(OfficialClient))
MODULE = sorted(
    name
    for name in public(official)
    if inspect.isfunction(getattr(official, name))
    and not name.startswith("inner_")
    and getattr(official, name).__module__ != "typing"
)


def differences(theirs, ours):
    """Return what a call of *theirs* may hold that *ours* does not take alike."""
    wanted, taken = parameters(theirs), parameters(ours)
    takes_any = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in taken.values())
    positions = [name for name, one in taken.items() if one.kind is not inspect.Parameter.KEYWORD_ONLY]
    found = []
    for place, (name, parameter) in enumerate(wanted.items()):
        if name not in taken:
            is_by_name = parameter.kind is inspect.Parameter.KEYWORD_ONLY
            found += [] if takes_any and is_by_name else [f"{name} is not taken"]
            continue
        mine = taken[name]
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY and (
            place >= len(positions) or positions[place] != name
        ):
            found.append(f"{name} is not argument number {place + 1}")
        if parameter.default is not _NOT_GIVEN and mine.default is _NOT_GIVEN:
            found.append(f"{name} must be given")
        if parameter.default not in (_NOT_GIVEN, None) and mine.default != parameter.default:
            found.append(f"{name} is {mine.default!r} by default, not {parameter.default!r}")
    missing = [name for name, one in taken.items() if one.default is _NOT_GIVEN and name not in wanted and one.kind not in (
        inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)]  # fmt: skip
    return found + [f"{name} must be given here" for name in missing]


@pytest.mark.parametrize("name", CLIENT)
def test_a_method_of_the_client_takes_what_the_official_one_takes(name):
    """Otherwise the table says what is different."""
    theirs, ours = getattr(OfficialClient, name), getattr(PostHog, name, None)
    if ours is None or not callable(ours):
        assert name in METHODS, f"PostHog.{name} is missing, and the migration page does not say so"
        return
    assert name not in METHODS, f"the migration page says that {name} is different, and it is there"
    assert differences(theirs, ours) == []


@pytest.mark.parametrize("name", MODULE)
def test_a_function_of_the_module_takes_what_the_official_one_takes(name):
    """Positional arguments included: there, some are that only the function takes so."""
    theirs, ours = getattr(official, name), getattr(hogline, name, None)
    if ours is None:
        assert name in METHODS, f"hogline.{name} is missing, and the migration page does not say so"
        return
    assert name not in METHODS
    assert bool(differences(theirs, ours)) is (name in FUNCTIONS), differences(theirs, ours)


def test_every_option_of_the_official_client_is_taken_or_listed():
    """The default is the same, in the same unit."""
    ours = {declared.name: declared.default for declared in dataclasses.fields(ClientSettings)}
    found = set()
    for name, parameter in list(inspect.signature(OfficialClient.__init__).parameters.items())[2:]:
        if name.startswith("_"):
            continue
        if name in ABSENT:  # accepted with the default, which asks for nothing
            found.add(name)
        try:
            settings = ClientSettings.load({name: parameter.default}, {})
        except TypeError:
            found.add(name)
            continue
        except ValueError:  # a default of theirs that says nothing
            found.add(name)
            continue
        if parameter.default is not None and ours.get(name, parameter.default) != parameter.default:
            found.add(name)
        assert settings is not None
    assert found == OPTIONS


def test_the_tables_list_nothing_that_does_not_exist():
    """A row outlives what it is about only until the next run."""
    names = set(CLIENT) | set(MODULE)
    attributes = {
        name
        for name, _ in inspect.getmembers(
            OfficialClient("phc_x", send=False, sync_mode=True, host="http://127.0.0.1:9")
        )
    }
    assert names | attributes >= METHODS


def test_snapshots_and_results_have_the_official_members():
    """They have every member that code reads from them."""
    from posthog.feature_flag_evaluations import FeatureFlagEvaluations
    from posthog.types import FeatureFlagEvaluationRuntime, FeatureFlagResult, UnresolvedFlagReason

    from hogline import flags
    from hogline.flags import evaluation

    assert public(FeatureFlagEvaluations) <= set(dir(flags.FeatureFlagEvaluations))
    for name in ("is_enabled", "get_flag", "get_flag_payload", "only", "only_accessed"):
        assert differences(getattr(FeatureFlagEvaluations, name), getattr(flags.FeatureFlagEvaluations, name)) == []
    assert {one.name for one in dataclasses.fields(FeatureFlagResult)} == {
        one.name for one in dataclasses.fields(flags.FeatureFlagResult)
    }
    assert [one.value for one in UnresolvedFlagReason] == [one.value for one in evaluation.UnresolvedFlagReason]
    assert [one.value for one in FeatureFlagEvaluationRuntime] == [
        one.value for one in flags.FeatureFlagEvaluationRuntime
    ]
