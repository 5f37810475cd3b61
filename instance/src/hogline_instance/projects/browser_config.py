"""The part of posthog-js's config that a project's settings decide.

Source: docs/internals/instance-protocol.md#config-documents.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from hogline_instance.project import Project
from hogline_instance.projects.settings import setting_values

__all__ = ["FLAGS", "config_of", "has_no_quota"]

FLAGS = "feature_flags"
"""The resource of flag requests in the setting `quota_limited`."""


def config_of(project: Project, instance: Mapping[str, object], origin: str = "") -> dict[str, object]:
    """Return the config of *instance* with what *project* decides for a page of *origin*, or of any."""
    values = setting_values(project.settings)
    config = dict(instance)
    config["autocapture_opt_out"] = values["autocapture_opt_out"]
    config["heatmaps"] = bool(values["heatmaps_opt_in"])
    config["captureDeadClicks"] = bool(values["capture_dead_clicks"])
    config["capturePerformance"] = _performance(values)
    config["flagsPersistenceDefault"] = values["flags_persistence_default"]
    # Exceptions are captured by a script of the instance, which not every instance has.
    config["autocaptureExceptions"] = bool(
        instance.get("autocaptureExceptions") and values["autocapture_exceptions_opt_in"]
    )
    config["sessionRecording"] = _recording(values, origin) if values["session_recording_opt_in"] else False
    # Without the key posthog-js leaves surveys alone; with `false` it would load their script.
    if values["surveys_opt_in"]:
        config["surveys"] = True
    if values["quota_limited"]:
        config["quotaLimited"] = values["quota_limited"]
    return config


def has_no_quota(project: Project, resource: str) -> bool:
    """Return whether the project may use no more of *resource*."""
    limited = project.settings.get("quota_limited")
    return isinstance(limited, list) and resource in limited


def _performance(values: Mapping[str, Any]) -> object:
    timing, vitals = values["capture_performance_opt_in"], values["autocapture_web_vitals_opt_in"]
    if not timing and not vitals:
        return False
    return {"network_timing": timing, "web_vitals": vitals, "web_vitals_allowed_metrics": None}


def _recording(values: Mapping[str, Any], origin: str) -> object:
    domains = values["recording_domains"]
    if domains and origin and not any(fnmatchcase(origin, domain.rstrip("/")) for domain in domains):
        return False
    return {
        "endpoint": "/s/",
        "recorderVersion": "v2",
        "consoleLogRecordingEnabled": values["capture_console_log_opt_in"],
        "sampleRate": values["session_recording_sample_rate"],
        "minimumDurationMilliseconds": values["session_recording_minimum_duration_milliseconds"],
        "linkedFlag": _linked(values["session_recording_linked_flag"]),
        "networkPayloadCapture": values["session_recording_network_payload_capture_config"],
        "masking": values["session_recording_masking_config"],
        "urlTriggers": [],
        "urlBlocklist": [],
        "eventTriggers": [],
        "triggerMatchType": None,
        "recordCanvas": False,
        "canvasFps": None,
        "canvasQuality": None,
    }


def _linked(flag: object) -> object:
    """Return a linked flag as posthog-js reads it: its key, or its key with a variant."""
    if not isinstance(flag, dict) or not flag.get("key"):
        return None
    return {"flag": flag["key"], "variant": flag["variant"]} if flag.get("variant") else flag["key"]
