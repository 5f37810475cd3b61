"""The protocol of `flag_definition_cache_provider` under posthog-python's module name."""

from typing import Any, NotRequired, TypedDict

from hogline.flags.remote.cache_provider import FlagDefinitionCacheProvider

__all__ = ["FlagDefinitionCacheData", "FlagDefinitionCacheProvider"]


class FlagDefinitionCacheData(TypedDict):
    """The data that a provider stores and returns."""

    flags: list[dict[str, Any]]
    group_type_mapping: dict[str, str]
    cohorts: dict[str, Any]
    minimal_flag_called_events: NotRequired[bool]
    property_matching_version: NotRequired[int]
