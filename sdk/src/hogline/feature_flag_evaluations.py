"""The snapshot of flags under posthog-python's module name."""

from hogline.flags.snapshot import FeatureFlagEvaluations

__all__ = ["FeatureFlagEvaluations"]
