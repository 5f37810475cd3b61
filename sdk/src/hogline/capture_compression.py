"""posthog-python's enum for `capture_compression` under its module's name.

The option takes the words, too.
"""

from enum import StrEnum

__all__ = ["CAPTURE_COMPRESSION_ENV_VAR", "CaptureCompression"]

CAPTURE_COMPRESSION_ENV_VAR = "POSTHOG_CAPTURE_COMPRESSION"


class CaptureCompression(StrEnum):
    """How bodies of capture v1 are compressed."""

    NONE = "none"
    GZIP = "gzip"
    DEFLATE = "deflate"
    ZSTD = "zstd"
