"""The work of the shop's team: it defines a flag, uploads source maps, resolves an issue."""

import io
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import urllib3

from hogline_instance.demo.processes import Instance
from hogline_instance.errors.source_maps.command import sourcemaps
from hogline_instance.exceptions import InstanceError

__all__ = ["FLAG", "Team"]

FLAG = "new-checkout"
_WAIT_S = 60.0
_SCRIPT = Path(__file__).parent / "static" / "delivery.min.js"
_SOURCE_MAP = Path(__file__).parent / "bundle" / "delivery.min.js.map"


class Team:
    """Uses the instance's API as a team's own tools would."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._base = f"{instance.url}/api/projects/@current"
        self._headers = {"Authorization": f"Bearer {instance.key}"}
        self._pool = urllib3.PoolManager(retries=False, timeout=10)
        self._since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")  # a data folder may hold earlier demos

    def define_flag(self) -> str:
        """Define the flag of the shop unless the data folder has it, and return its page."""
        variants = [{"key": key, "rollout_percentage": 50} for key in ("control", "test")]
        filters = {"groups": [{"properties": [], "rollout_percentage": 100}], "multivariate": {"variants": variants}}
        # Refused if it is there already.
        self._call("POST", "feature_flags/", {"key": FLAG, "name": "Five percent off in the cart", "filters": filters})
        found = self._call("GET", f"feature_flags/?search={FLAG}")["results"]
        return (
            f"{self._instance.url}/feature_flags/{found[0]['id']}" if found else f"{self._instance.url}/feature_flags"
        )

    def upload_source_maps(self, release: str) -> None:
        """Upload the map of the shop's script, as `hogline sourcemaps upload` does.

        Raises InstanceError: the instance refused it.
        """
        said = io.StringIO()
        with tempfile.TemporaryDirectory(prefix="hogline-demo-") as folder:
            for file in (_SCRIPT, _SOURCE_MAP):
                shutil.copy(file, folder)
            options = ["--release", release, "--host", self._instance.url, "--key", self._instance.key]
            with redirect_stdout(said), redirect_stderr(said):
                status = sourcemaps(["upload", folder, *options])
        if status:
            raise InstanceError(f"the source map was not uploaded: {said.getvalue().strip()}")

    def issue_of(self, error: str, release: str, *, occurrences: int = 1) -> str:
        """Wait until *error* occurred in *release* so many times, and return the id of its issue.

        Raises InstanceError: it did not.
        """
        deadline_s = time.monotonic() + _WAIT_S
        while time.monotonic() < deadline_s:
            issues = [
                issue
                for kind, seen_in, issue in self._exceptions()
                if (kind, seen_in) == (error, release) and issue is not None
            ]
            if len(issues) >= occurrences:
                return str(issues[0])
            time.sleep(0.1)
        raise InstanceError(f"{error} of release {release} did not reach the instance; its log says why")

    def resolve(self, issue: str) -> None:
        """Resolve an issue."""
        self._call("PATCH", f"error_tracking/issues/{issue}/", {"status": "resolved"})

    def _exceptions(self) -> Iterator[tuple[str, str | None, str | None]]:
        """Yield type, release and issue of the latest exceptions."""
        for event in self._call("GET", f"events/?event=%24exception&limit=100&after={self._since}").get("results", []):
            properties = event["properties"]
            kind = properties["$exception_list"][0]["type"]
            yield kind, properties.get("$release"), properties.get("$exception_issue_id")

    def _call(self, method: str, path: str, body: dict[str, object] | None = None) -> Any:
        answer = self._pool.request(method, f"{self._base}/{path}", json=body, headers=self._headers)
        return json.loads(answer.data)
