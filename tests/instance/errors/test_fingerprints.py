"""Frames of every platform have one shape, and the same mistake has one fingerprint."""

import pytest

from hogline_instance.errors.exception_list import BrokenListError, canonical_list
from hogline_instance.errors.fingerprint import version_1, version_2
from hogline_instance.errors.frames import normalised_frame
from tests.instance.errors.bodies import browser_frame, entry, python_frame


def no_map(_raw):
    return None


def prints(*entries, lib="posthog-python"):
    chain = canonical_list({"$lib": lib, "$exception_list": list(entries)}, "uuid", no_map)
    return version_1(chain).value, version_2(chain).value


def resolved(**fields):
    return {
        "source": None,
        "module": None,
        "resolved_name": None,
        "mangled_name": "",
        "in_app": True,
        "resolved": True,
        **fields,
    }


def test_posthogs_own_vectors():
    """Both versions give the digests that PostHog's server gives."""
    frames = [
        resolved(source="http://example.com/alpha/foo.js", resolved_name="bar"),
        resolved(source="http://example.com/bar.js", module="app.module", resolved_name="baz"),
    ]
    chain = [{"type": "TypeError", "value": "any", "stacktrace": {"frames": frames}}]
    assert version_1(chain).value.startswith("d03a8ead4f42a8a3")
    assert version_2(chain).value.startswith("444724bab3c03303")
    assert version_2([{"type": "ValueError", "value": "no order 17"}]).value.startswith("017ff7af123b7af9")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("timeout after 30s", "timeout after 45.5s"),
        ("no user 'ada'", 'no user "bob"'),
        ("row 0xdeadbeef", "row 0x12"),
        ("key 3f2504e0-4f89-11d3-9a0c-0305e82c3301", "key 9f2504e0-4f89-41d3-9a0c-0305e82c3309"),
    ],
)
def test_messages_that_differ_in_ids_and_numbers_are_one_mistake(one, other):
    """Without a stack the message counts, but not its numbers, ids and quoted texts."""
    assert prints(entry("E", one))[1] == prints(entry("E", other))[1]
    assert prints(entry("E", "refused A"))[1] != prints(entry("E", "refused B"))[1]


def test_a_moved_line_another_path_and_a_new_bundle_hash_are_one_mistake():
    """A thousand occurrences with other lines, folders, hosts and hashes have one fingerprint."""
    found = {
        prints(
            entry("E", f"order {number}", [python_frame("charge", "shop/pay.py", number, abs_path=f"/srv/{number}/pay.py")]),
        )[1]
        for number in range(1, 1_000)
    }  # fmt: skip
    assert len(found) == 1
    bundles = [f"https://cdn{number}.test/assets/app.{number:08x}a1.js" for number in range(100)]
    assert len({prints(entry("E", "x", [browser_frame("pay", url)]), lib="web")[1] for url in bundles}) == 1


def test_different_mistakes_are_different():
    """Another type, function, module or file is another fingerprint."""
    found = [
        prints(entry(kind, "x", [python_frame(function, file)]))
        for kind in ("E", "F")
        for function in ("a", "b")
        for file in ("shop/pay.py", "shop/ship.py")
    ]
    assert len({one for one, _ in found}) == len({two for _, two in found}) == 8


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (python_frame(abs_path="/v/lib/python3.12/site-packages/x.py"), {"in_app": False, "source": "shop/pay.py"}),
        (python_frame(abs_path="", module="json.decoder"), {"in_app": False, "module": "json.decoder"}),
        (python_frame(filename="<frozen importlib>"), {"in_app": False}),
        (python_frame(), {"in_app": True, "resolved": True, "resolved_name": "charge", "lang": "python", "line": 12}),
        (
            {"platform": "node:javascript", "filename": "/app/node_modules/x/i.js", "function": "f", "lineno": 1},
            {"in_app": False, "resolved": True, "lang": "javascript"},
        ),
        ({"platform": "node:javascript", "filename": "node:internal/x", "function": "f"}, {"in_app": False}),
        (browser_frame(), {"source": "/static/app.js", "module": None, "resolved": True, "column": 5}),
        (browser_frame(url="https://shop.test/app.js:10:5"), {"source": "/app.js"}),
        (browser_frame(url="<anonymous>"), {"in_app": False, "source": None}),
        (browser_frame(column=301), {"resolved": False, "resolved_name": None, "mangled_name": "pay"}),
        (browser_frame(chunk_id="abc"), {"resolved": False, "resolved_name": None}),
        ({"platform": "go", "filename": "main.go", "function": "main.run", "lineno": 3}, {"lang": "go", "in_app": True}),
        ({"platform": "ruby", "filename": "app.rb", "function": "run", "module": "App"}, {"source": "app.rb", "lang": "ruby"}),
        ({"platform": "php", "filename": "a.php", "function": "run"}, {"lang": "php", "resolved": True}),
        ({"platform": "java", "filename": "A.java", "module": "a.A", "function": "run", "map_id": "m"}, {"resolved": False}),
        ({"platform": "java", "filename": "A.java", "module": "a.A", "function": "run"}, {"resolved": True}),
        ({"platform": "native", "instruction_addr": "0x1"}, {"resolved": False}),
        ({"platform": "dart", "filename": "main.dart", "function": "run"}, {"lang": "dart"}),
    ],
)  # fmt: skip
def test_frames_of_each_platform(raw, expected):
    """Each platform's rules decide the source, the name, `in_app` and whether it is resolved."""
    frame = normalised_frame(raw, "", no_map)
    assert {name: frame[name] for name in expected} == expected
    assert frame["raw_id"].endswith("/0")


@pytest.mark.parametrize(
    ("lib", "version", "first"),
    [
        ("posthog-go", "1.18.3", "crash"), ("posthog-go", "1.19.0", "entry"), ("posthog-php", "4.10.1", "crash"),
        ("posthog-php", "4.11.0", "entry"), ("posthog-rs", "0.18.0", "crash"), ("posthog-rs", "0.19.0", "entry"),
        ("posthog-android", "9.0.0", "crash"), ("posthog-flutter", "9.9.9", "crash"), ("posthog-node", "5.0.0", "entry"),
        ("posthog-python", "7.0.0", "entry"), ("web", "1.300.0", "entry"),
    ],
)  # fmt: skip
def test_each_librarys_stack_ends_with_the_crash_site(lib, version, first):
    """Libraries that send the crash site first have their frames reversed, up to a version."""
    frames = [{"function": "entry"}, {"function": "crash"}]
    sent = frames[::-1] if first == "crash" else frames
    chain = canonical_list({"$lib": lib, "$lib_version": version, "$exception_list": [entry(frames=sent)]}, "u", no_map)
    assert [frame["mangled_name"] for frame in chain[0]["stacktrace"]["frames"]] == ["entry", "crash"]


def test_a_cause_that_python_sends_first_comes_last():
    """Older versions of posthog-python send the cause first; newer ones number the root 0."""
    old = [{"type": "Cause", "value": ""}, {"type": "Outer", "value": ""}]
    new = [entry("Outer", exception_id=0), entry("Cause", exception_id=1, parent_id=0)]
    for sent in (old, new):
        chain = canonical_list({"$lib": "posthog-python", "$exception_list": sent}, "u", no_map)
        assert [each["type"] for each in chain] == ["Outer", "Cause"]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (None, "missing"), ([], "empty"), ("text", "must be an array"), ([1], "must be an object"), ([{"value": "x"}], "no type"),
    ],
)  # fmt: skip
def test_a_broken_list_says_why(broken, reason):
    """The reason names what is wrong with the list."""
    with pytest.raises(BrokenListError, match=reason):
        canonical_list({} if broken is None else {"$exception_list": broken}, "u", no_map)


def test_long_stacks_messages_and_lists_are_cut():
    """The frames next to the crash are kept, and their number is bounded over all exceptions."""
    frames = [python_frame(f"f{number}") for number in range(10_000)]
    sent = [entry("E", "v" * 20_000, frames)] * 100
    chain = canonical_list({"$exception_list": sent, "$lib": "web"}, "u", no_map)
    assert len(chain) == 50
    assert sum(len(each["stacktrace"]["frames"]) for each in chain) == 1_000
    assert chain[0]["stacktrace"]["frames"][-1]["mangled_name"] == "f9999"
    assert chain[0]["stacktrace"]["omitted_frames"] == 9_750
    assert chain[0]["value"] == "v" * 10_000 + "..."
