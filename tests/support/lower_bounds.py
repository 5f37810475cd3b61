"""The lower bounds of both packages' dependencies, as exact pins: `./dev pin` makes
`requirements/lowest.txt` from them.

`nox -s lowest` runs the tests there, so that a bound such as `orjson>=3.10` is tested. Only the
packages' direct dependencies are at their lowest versions; indirect ones resolve to the newest
version that fits, as with `uv --resolution lowest-direct`, and so do the tests' own tools.
"""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"hogline": ROOT / "sdk" / "pyproject.toml", "hogline-instance": ROOT / "instance" / "pyproject.toml"}


def dependencies(package: str) -> list[Requirement]:
    """Return the dependencies of *package* and of its extras, without the other package of the
    workspace.
    """
    declared = tomllib.loads(PACKAGES[package].read_text())
    project = declared["project"]
    required = project.get("dependencies") or declared["tool"]["hatch"]["metadata"]["hooks"]["custom"]["dependencies"]
    extras = [line for lines in project.get("optional-dependencies", {}).values() for line in lines]
    return [requirement for line in [*required, *extras] if (requirement := Requirement(line)).name not in PACKAGES]


def lowest(requirement: Requirement) -> str:
    """Return *requirement* pinned to its lower bound.

    Raises:
        ValueError: The requirement has no lower bound, or more than one.
    """
    bounds = [bound.version for bound in requirement.specifier if bound.operator == ">="]
    if len(bounds) != 1:
        raise ValueError(f"{requirement} must have exactly one lower bound, such as {requirement.name}>=1.0")
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    marker = f"; {requirement.marker}" if requirement.marker else ""
    return f"{requirement.name}{extras}=={bounds[0]}{marker}"


def pins() -> list[str]:
    """Return a pin for every dependency of both packages.

    Raises:
        ValueError: The packages, installed together, name different lower bounds.
    """
    found: dict[str, str] = {}
    for package in PACKAGES:
        for requirement in dependencies(package):
            pin = lowest(requirement)
            if found.setdefault(requirement.name, pin) != pin:
                raise ValueError(f"{package} needs {pin}, the other package {found[requirement.name]}: use one bound")
    return sorted(found.values())


if __name__ == "__main__":
    print("\n".join(pins()))
