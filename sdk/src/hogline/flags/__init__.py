"""Flags for users of a client: overrides, then local evaluation, then the server.

This package also has snapshots, and events about flags.

`evaluation/` is pure and knows nothing of the rest: the instance imports only that. `remote/`
fetches definitions and answers. The names below are imported at first use, so that importing
`hogline.flags.evaluation` loads nothing else.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hogline.flags.flags import Flags
    from hogline.flags.remote.cache_provider import FlagDefinitionCacheProvider
    from hogline.flags.results import FeatureFlagEvaluationRuntime, FeatureFlagResult
    from hogline.flags.snapshot import FeatureFlagEvaluations

__all__ = [
    "FeatureFlagEvaluationRuntime",
    "FeatureFlagEvaluations",
    "FeatureFlagResult",
    "FlagDefinitionCacheProvider",
    "Flags",
]

_MODULES = {
    "FeatureFlagEvaluationRuntime": "hogline.flags.results",
    "FeatureFlagEvaluations": "hogline.flags.snapshot",
    "FeatureFlagResult": "hogline.flags.results",
    "FlagDefinitionCacheProvider": "hogline.flags.remote.cache_provider",
    "Flags": "hogline.flags.flags",
}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use (PEP 562)."""
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
