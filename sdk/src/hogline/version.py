"""The version of both packages, and the only place that states it."""

__version__ = "0.1.0"
VERSION = __version__  # posthog-python's name
