"""posthog-python's types of arguments under its module's name."""

from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypedDict
from uuid import UUID

from hogline.types import SendFeatureFlagsOptions

if TYPE_CHECKING:
    from hogline.flags import FeatureFlagEvaluations

__all__ = ["ID_TYPES", "ExceptionArg", "OptionalCaptureArgs", "OptionalSetArgs"]

ID_TYPES = int | float | str | UUID
"""The types of a distinct id."""
ExceptionArg = BaseException | tuple[type[BaseException], BaseException, TracebackType | None]
"""The types that `capture_exception()` takes."""


class OptionalCaptureArgs(TypedDict, total=False):
    """The keyword arguments of `capture()`."""

    distinct_id: ID_TYPES | None
    properties: Mapping[str, Any] | None
    timestamp: datetime | str | None
    uuid: str | UUID | None
    groups: Mapping[str, Any] | None
    flags: "FeatureFlagEvaluations | None"
    send_feature_flags: bool | SendFeatureFlagsOptions | None
    disable_geoip: bool | None


class OptionalSetArgs(TypedDict, total=False):
    """The keyword arguments of `set()` and `set_once()`."""

    distinct_id: ID_TYPES | None
    properties: Mapping[str, Any] | None
    timestamp: datetime | str | None
    uuid: str | UUID | None
    disable_geoip: bool | None
