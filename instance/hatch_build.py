"""Pins the SDK to the instance's own version.

Both come from one commit, and the instance uses private modules of the SDK.
"""

from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class PinnedSdk(MetadataHookInterface):
    """Adds `hogline==<this version>` to the dependencies that `pyproject.toml` lists."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Fill in the dependencies. Hatchling has read the version before it calls this."""
        metadata["dependencies"] = [f"hogline=={metadata['version']}", *self.config["dependencies"]]
