"""`settings.HOGLINE`: the interceptor's options, where dotted paths may stand for objects."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from hogline.exceptions import SettingsError
from hogline.exchange.policy import Policy
from hogline.interceptors.common.options import make_policy
from hogline.settings import ClientSettings, ExceptionCapture

__all__ = ["configured_policy"]

_IMPORTED = ("client", "capture_exceptions", "distinct_id", "properties", "request_filter")


def configured_policy(defaults: Mapping[str, Any] | None = None, unknown: Sequence[str] = ()) -> Policy:
    """Return the policy for the options in `settings.HOGLINE`.

    *defaults* holds values for absent options. *unknown* are settings of posthog-python that have
    no counterpart here.

    Raises ImproperlyConfigured: an option that does not exist, a path that cannot be imported, a
    value that cannot work.
    """
    given = getattr(settings, "HOGLINE", None) or {}
    if not isinstance(given, Mapping):
        raise ImproperlyConfigured(f"settings.HOGLINE must be a dict of the interceptor's options, got {given!r}")
    if unknown:
        raise ImproperlyConfigured(
            f"settings.{unknown[0]} has no counterpart; HOGLINE = {{'properties': ...}} takes a function that adds properties"
        )
    given = {**(defaults or {}), **given}
    options = {name: _imported(name, value) if name in _IMPORTED else value for name, value in given.items()}
    capture = options.get("capture_exceptions")
    try:
        if isinstance(capture, Mapping):
            options["capture_exceptions"] = _exception_capture(capture)
        return make_policy("django", options)
    except (TypeError, SettingsError) as error:
        raise ImproperlyConfigured(f"settings.HOGLINE: {error}{_hint(given)}") from error


def _imported(name: str, value: Any) -> Any:
    """Return the object that a dotted path names.

    Settings are read before models, views and the like can be imported.
    """
    if not isinstance(value, str):
        return value
    try:
        return import_string(value)
    except ImportError as error:
        raise ImproperlyConfigured(f"settings.HOGLINE[{name!r}] names {value!r}: {error}") from error


def _exception_capture(given: Mapping[str, Any]) -> ExceptionCapture:
    """Return the policy of a dict.

    The exceptions to ignore may be paths, since settings could not import them.
    """
    options = dict(given)
    ignore = options.get("ignore", ())
    ignore = [ignore] if isinstance(ignore, str | type) else ignore
    options["ignore"] = tuple(_imported("capture_exceptions", kind) for kind in ignore)
    return ExceptionCapture(**options)


def _hint(given: Mapping[str, Any]) -> str:
    if any(name in ClientSettings.__slots__ for name in given):
        return "; a client's options belong to the client: HOGLINE = {'client': PostHog('<project token>', host='...')}"
    return ""
