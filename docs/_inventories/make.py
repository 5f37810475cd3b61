"""Write each project's inventory beside this file, in Sphinx's format (version 2)."""

import zlib
from pathlib import Path

from names import PROJECTS, Project

HERE = Path(__file__).parent


def inventory(name: str, project: Project) -> bytes:
    """Return the inventory as Sphinx reads it: four lines of text, then the names, compressed."""
    head = f"# Sphinx inventory version 2\n# Project: {name}\n# Version: \n# The remainder of this file is compressed using zlib.\n"
    lines = [f"{entry} {role} 1 {page} -\n" for entry, (role, page) in sorted(project.names.items())]
    return head.encode() + zlib.compress("".join(lines).encode(), 9)


if __name__ == "__main__":
    for name, project in PROJECTS.items():
        (HERE / f"{name}.inv").write_bytes(inventory(name, project))
