"""Facts of the process that sends an event, read once.

posthog-python spends 25 us on them for each event.
"""

import functools
import sys
from typing import Any

from hogline.version import __version__

__all__ = ["library_properties", "runtime_properties"]

_NAMES = {"win32": "Windows", "darwin": "Mac OS X", "linux": "Linux"}


def library_properties() -> dict[str, Any]:
    """Return `$lib` and `$lib_version`."""
    return {"$lib": "hogline", "$lib_version": __version__}


@functools.cache
def runtime_properties() -> dict[str, Any]:
    """Return operating system and interpreter, named as posthog-python names them.

    Source: docs/internals/capture-protocol.md#default-properties.
    """
    import platform  # imported lazily: only a client needs it

    system = "FreeBSD" if sys.platform.startswith("freebsd") else _NAMES.get(sys.platform, sys.platform)
    facts: dict[str, Any] = {
        "$os": system,
        "$os_version": platform.release(),
        "$python_runtime": platform.python_implementation(),
        "$python_version": platform.python_version(),
    }
    if system == "Linux":
        try:
            release = platform.freedesktop_os_release()
        except OSError:
            return facts
        facts["$os_version"] = release.get("VERSION_ID") or facts["$os_version"]
        if distribution := release.get("NAME"):
            facts["$os_distro"] = distribution
    elif system == "Mac OS X":
        facts["$os_version"] = platform.mac_ver()[0] or facts["$os_version"]
    elif system == "Windows":
        facts["$os_version"] = platform.win32_ver()[0] or facts["$os_version"]
    return facts
