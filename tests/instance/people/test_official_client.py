"""posthog-python identifies, aliases and groups people as it does against PostHog."""

import os
import subprocess
import sys
import time
import uuid

CLIENT = """
import sys
from posthog import Posthog

host, token, own = sys.argv[1:]
client = Posthog(token, host=host, sync_mode=True)
client.capture("seen", distinct_id=f"{own}-anon")
client.alias(f"{own}-anon", own)
client.set(distinct_id=own, properties={"plan": "pro", "email": f"{own}@example.com"})
client.set_once(distinct_id=own, properties={"plan": "free", "first": 1})
client.group_identify("company", own, {"name": "Acme"})
client.capture("bought", distinct_id=own, groups={"company": own})
client.capture("quiet", distinct_id=f"{own}-quiet", properties={"$process_person_profile": False})
client.shutdown()
"""


def test_posthog_pythons_people_and_groups_are_what_the_program_meant(reader, tmp_path):
    """One person with both ids, `$set_once` after `$set`, and a group; no person of the quiet event."""
    own = f"py-{uuid.uuid4().hex[:8]}"
    run = subprocess.run(
        [sys.executable, "-c", CLIENT, reader.url, reader.token, own],
        env=dict(os.environ), capture_output=True, text=True, timeout=90, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    reader.wait_for(1, distinct_id=f"{own}-quiet")
    (bought,) = reader.wait_for(1, event="bought", distinct_id=own)
    (seen,) = reader.wait_for(1, event="seen", distinct_id=f"{own}-anon")
    deadline = time.monotonic() + 30
    while (person := reader.events(event="bought", distinct_id=own)[0]["person"])["properties"].get("first") != 1:
        assert time.monotonic() < deadline, person
        time.sleep(0.1)
    assert bought["person_id"] == seen["person_id"] == person["uuid"]
    assert set(person["distinct_ids"]) == {own, f"{own}-anon"}
    assert person["is_identified"] is True
    assert person["properties"]["plan"] == "pro"
    index = next(
        each["group_type_index"]
        for each in reader.get("/api/projects/@current/groups_types/").json()
        if each["group_type"] == "company"
    )
    group = reader.get("/api/projects/@current/groups/find/", group_type_index=index, group_key=own).json()
    assert group["group_properties"] == {"name": "Acme"}
    (quiet,) = reader.wait_for(1, distinct_id=f"{own}-quiet")
    assert quiet["person"] is None
