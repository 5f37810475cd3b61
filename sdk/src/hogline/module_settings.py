"""Configuration by the module's attributes, as posthog-python has it.

An example is `hogline.api_key = "phc_..."`.
The attributes configure the default client, which is made at the first call of a module-level
function. What is set later takes effect if an option may change while a client lives, and else
raises: nothing is ignored in silence.
"""

import dataclasses
from collections.abc import Callable
from types import ModuleType
from typing import Any

from hogline.exceptions import SettingsError
from hogline.settings import ClientSettings
from hogline.settings.absent import ABSENT

__all__ = ["ConfigurableModule", "configured", "on_change", "read_option"]

_ALIASES = {
    "api_key": "project_token",
    "project_api_key": "project_token",
    "personal_api_key": "secret_key",
    "enable_exception_autocapture": "capture_exceptions",
    "in_app_modules": "in_app_include",
}
_DECLARED = {declared.name: declared for declared in dataclasses.fields(ClientSettings)}
_OPTIONS = frozenset(_DECLARED) | frozenset(_ALIASES)
_set: dict[str, Any] = {}
on_change: list[Callable[[str, Any], None]] = []
"""Called with an option and its new value, before it is kept; may raise."""


def configured() -> dict[str, Any]:
    """Return the options that the module's attributes have set, for the default client."""
    return {name: value for name, value in _set.items() if value is not None}


class ConfigurableModule(ModuleType):
    """The class of the module `hogline`.

    Attributes that are named like options configure the default client.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ABSENT:
            if value:
                raise SettingsError(f"hogline.{name} does not exist: {ABSENT[name]}")
            return
        if name not in _OPTIONS or isinstance(value, ModuleType):
            super().__setattr__(name, value)
            return
        own = _ALIASES.get(name, name)
        for tell in on_change:
            tell(own, value)
        _set[own] = value

    def __delattr__(self, name: str) -> None:
        own = _ALIASES.get(name, name)
        if name in _OPTIONS and own in _set:
            del _set[own]
            return
        super().__delattr__(name)


def read_option(name: str) -> Any:
    """Return the value of the module's attribute *name*: what was set, else the option's default.

    Raises AttributeError: there is no such option.
    """
    if name in ABSENT:
        return None
    own = _ALIASES.get(name, name)
    if own not in _DECLARED:
        raise AttributeError(f"module 'hogline' has no attribute {name!r}")
    if own in _set:
        return _set[own]
    default = _DECLARED[own].default
    return None if default == "" or own == "host" else default
