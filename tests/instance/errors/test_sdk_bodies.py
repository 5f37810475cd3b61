"""Exceptions as the official SDKs send them: their frames, their fingerprints, and their issues.

The bodies of posthog-js, posthog-node and posthog-python are recorded (`sdk_bodies/record.py`); those
of other languages follow the SDKs' documented shapes. `expected.json` holds, for each mistake, the
exceptions in canonical order and the pieces that each version of the fingerprint hashes.
"""

import copy
import hashlib
import json
import re
from pathlib import Path

import pytest

from hogline_instance.errors.exception_list import canonical_list
from hogline_instance.errors.fingerprint import version_1, version_2
from tests.instance.errors.api import call, query, until
from tests.instance.errors.bodies import unique
from tests.instance.reader import event

FOLDER = Path(__file__).with_name("sdk_bodies")
RECORDED = {name: json.loads((FOLDER / f"{name}.json").read_text()) for name in ("web", "node", "python")}
BODIES = RECORDED | json.loads((FOLDER / "documented.json").read_text())
EXPECTED = json.loads((FOLDER / "expected.json").read_text())
MISTAKES = [(sdk, name) for sdk in BODIES for name in BODIES[sdk]["exceptions"] if not name.endswith("-moved")]
# Each platform once; those that only send their frames in another order are left out.
PLATFORMS = [sdk for sdk in BODIES if "-" not in sdk]


def properties(sdk, name):
    body = BODIES[sdk]
    return {"$lib": body["$lib"], "$lib_version": body["$lib_version"], **copy.deepcopy(body["exceptions"][name])}


def canonical(sdk, name):
    return canonical_list(properties(sdk, name), "uuid", lambda _raw: None)


def shown(chain):
    """Return the chain as lines of text."""
    lines = []
    for exception in chain:
        handled = {True: "handled", False: "unhandled"}.get(exception["mechanism"].get("handled"), "chained")
        lines.append(f"{exception['type']} ({handled})")
        for frame in exception.get("stacktrace", {}).get("frames", ()):
            place = ":".join(str(frame[key]) for key in ("source", "line", "column") if frame[key] is not None)
            side = "app" if frame["in_app"] else "library"
            name = frame["resolved_name"] or f"unresolved {frame['mangled_name']}".strip()
            lines.append(f"  {name} | {place} | {frame['module'] or '-'} | {side}")
    return lines


def digest(pieces):
    return hashlib.sha512("".join(pieces).encode()).hexdigest()


@pytest.mark.parametrize(("sdk", "name"), MISTAKES)
def test_each_sdks_exception_has_the_expected_frames_and_fingerprints(sdk, name):
    """The crash site comes last, libraries are told from the app; both versions hash what is listed."""
    chain, expected = canonical(sdk, name), EXPECTED[sdk][name]
    assert shown(chain) == expected["exceptions"]
    assert version_1(chain).value == digest(expected["version_1"])
    assert version_2(chain).value == digest(expected["version_2"])


@pytest.mark.parametrize(("sdk", "name"), MISTAKES)
def test_the_same_mistake_at_another_place_has_the_same_fingerprint(sdk, name):
    """Another folder, host, line, hash of the bundle and id in the message change nothing."""
    one, other = canonical(sdk, name), canonical(sdk, f"{name}-moved")
    assert version_2(one).value == version_2(other).value
    lines = [[frame["line"] for each in chain for frame in each.get("stacktrace", {"frames": ()})["frames"]]
             for chain in (one, other)]  # fmt: skip
    assert lines[0] != lines[1] or not lines[0], "the recording shows no other place"


def test_different_mistakes_have_different_fingerprints_over_all_platforms():
    """Old versions of SDKs, which send frames in another order, share the fingerprint of newer ones."""
    found = {}
    for sdk, name in MISTAKES:
        found.setdefault(version_2(canonical(sdk, name)).value, []).append(f"{sdk} {name}")
    shared = sorted(names for names in found.values() if len(names) > 1)
    assert shared == [["go captured", "go-1.18 captured"], ["php captured", "php-4.10 captured"]]


def variant(sdk, number, mark):
    """Return a mistake of *sdk* at another place: its ids, lines, folders and hosts follow *number*."""
    given = properties(sdk, "captured")
    for entry in given["$exception_list"]:
        entry["type"] = f"{mark}{sdk}"
        entry["value"] = re.sub(r"\d+", str(number * 7919), entry["value"])
        for frame in entry["stacktrace"]["frames"]:
            if "lineno" in frame:
                frame["lineno"] += number
            for key in ("filename", "abs_path"):
                text = re.sub(r"//[^/]+/static", f"//host{number}.test/v{number}", frame.get(key, ""))
                text = re.sub(r"\.[0-9a-f]{8}\.js", f".{number + 1:08x}.js", text)
                if text.startswith(("/srv", "/home")):
                    text = f"/releases/{number}{text}"
                if text:
                    frame[key] = text
    return event("$exception", distinct_id=f"{mark}-{number % 50}", **given)


def test_a_thousand_occurrences_on_all_platforms_are_one_issue_each(reader):
    """A thousand exceptions in eight languages, with other ids, lines and hosts, are eight issues."""
    mark = unique("Same")
    for start in range(0, 1_000, 250):
        reader.send(
            *[variant(PLATFORMS[number % len(PLATFORMS)], number, mark) for number in range(start, start + 250)]
        )

    def listed():
        rows = query(reader, searchQuery=mark, withAggregations=True)["results"]
        return rows if sum(row["aggregations"]["occurrences"] for row in rows) == 1_000 else None

    rows = until(listed)
    assert sorted(row["name"].removeprefix(mark) for row in rows) == sorted(PLATFORMS)
    assert {row["aggregations"]["occurrences"] for row in rows} <= {
        1_000 // len(PLATFORMS),
        1_000 // len(PLATFORMS) + 1,
    }
    one = rows[0]
    [fingerprint] = call(reader, "GET", f"fingerprints/?issue_id={one['id']}")["results"]
    assert fingerprint["issue_id"] == one["id"]
