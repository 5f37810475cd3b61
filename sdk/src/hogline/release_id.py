"""The variable of the option `release_id` under posthog-python's module name."""

__all__ = ["RELEASE_ID_ENV_VAR"]

RELEASE_ID_ENV_VAR = "POSTHOG_RELEASE_ID"
