"""posthog-python's enum for `capture_mode` under its module's name.

The option takes the words, too.
"""

from enum import StrEnum

__all__ = ["CAPTURE_MODE_ENV_VAR", "CaptureMode"]

CAPTURE_MODE_ENV_VAR = "POSTHOG_CAPTURE_MODE"


class CaptureMode(StrEnum):
    """The capture protocol: V1 answers for each event."""

    V0 = "v0"
    V1 = "v1"
