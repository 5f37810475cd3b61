"""The examples in the installed official package's documentation run with nothing but the import
changed.
"""

import inspect
import re
import textwrap
import types

import posthog as official
import pytest
from posthog import contexts
from posthog.client import Client as OfficialClient

import hogline
from hogline import PostHog
from hogline.testing import recording
from tests.sdk.test_official_signatures import METHODS


def examples():
    """Return (name, holder, code) of each example in a public docstring, but for what the migration
    page says is missing.
    """
    found = []
    for holder in (official, OfficialClient, contexts):
        for name, value in sorted(vars(holder).items()):
            if name.startswith(("_", "inner_")) or not callable(value) or name in METHODS:
                continue
            codes = re.findall(r"```python\n(.*?)```", inspect.getdoc(value) or "", re.DOTALL)
            # Two pass the properties by position, which the official package refuses itself.
            codes = [code for code in codes if 'capture("event_name", {' not in code]
            found += [
                (f"{holder.__name__}.{name}.{number}", holder, code)
                for number, code in enumerate(map(textwrap.dedent, codes))
            ]
    return found


EXAMPLES = examples()
EVENTS = {"capture", "set(", "set_once(", "alias(", "group_identify(", "capture_ai("}


def test_there_are_examples_of_every_kind():
    """The official package's own text says what its users write."""
    assert len(EXAMPLES) > 50
    assert {name.rpartition(".")[0] for name, _, _ in EXAMPLES} >= {
        "posthog.capture", "posthog.new_context", "posthog.evaluate_flags", "Client.capture_exception", "posthog.Client",
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("name", "holder", "code"), EXAMPLES, ids=[name for name, _, _ in EXAMPLES])
def test_an_example_runs_with_only_its_import_changed(name, holder, code):
    """It raises nothing, logs no error, and sends what it says."""
    code = re.sub(r"\b(from|import) posthog\b", r"\1 hogline", code).replace(
        "import hogline\n", "import hogline as posthog\n"
    )
    code = code.replace("<ph_client_api_host>", "http://127.0.0.1:9")  # a placeholder, as `<ph_project_api_key>` is
    with recording() as recorded:
        client = PostHog("phc_example", host="http://127.0.0.1:9")
        # The examples take these names for granted in the app around them.
        names = {
            "posthog": client if holder is OfficialClient else hogline,
            "client": client,
            "settings": types.SimpleNamespace(TEST=True),
            "distinct_id": "user_123",
            "additional_properties": {"a": 1},
            "render_new_dashboard": lambda: None,
            "risky_operation": lambda: 1 / 0,
        }
        exec(compile(code, name, "exec"), names)
        client.shutdown()
        if any(
            f"{word}" in line and not line.lstrip().startswith(("#", "from", "def"))
            for word in EVENTS
            for line in code.splitlines()
        ):
            wanted = not ("pass\nexcept" in re.sub(r"\n\s+", "\n", code) or "@scoped" in code)
            assert bool(recorded.events) is wanted
