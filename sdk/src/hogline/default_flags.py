"""The module-level functions for the default client's flags.

`hogline.evaluate_flags(...)` is one of them.
"""

from hogline.client import Client
from hogline.default import of_default

__all__ = [
    "aevaluate_flags",
    "evaluate_flags",
    "feature_enabled",
    "feature_flag_definitions",
    "get_all_flags",
    "get_all_flags_and_payloads",
    "get_feature_flag",
    "get_feature_flag_evaluation_runtime",
    "get_feature_flag_keys_by_evaluation_runtime",
    "get_feature_flag_payload",
    "get_feature_flag_result",
    "get_remote_config_payload",
    "load_feature_flags",
]


@of_default(Client.aevaluate_flags)
def aevaluate_flags() -> None:
    """`evaluate_flags()` that lets the event loop run; see `PostHog.aevaluate_flags`."""


@of_default(Client.evaluate_flags)
def evaluate_flags() -> None:
    """Return all flags of one person; see `PostHog.evaluate_flags`."""


@of_default(Client.get_feature_flag_result)
def get_feature_flag_result() -> None:
    """Return a flag's value, variant and payload; see `PostHog.get_feature_flag_result`."""


@of_default(Client.get_feature_flag)
def get_feature_flag() -> None:
    """Return a flag's value; see `PostHog.get_feature_flag`."""


@of_default(Client.feature_enabled)
def feature_enabled() -> None:
    """Return whether a flag is on; see `PostHog.feature_enabled`."""


@of_default(Client.get_feature_flag_payload)
def get_feature_flag_payload() -> None:
    """Return a flag's payload; see `PostHog.get_feature_flag_payload`."""


@of_default(Client.get_all_flags)
def get_all_flags() -> None:
    """Return the values of all flags; see `PostHog.get_all_flags`."""


@of_default(Client.get_all_flags_and_payloads)
def get_all_flags_and_payloads() -> None:
    """Return the values and payloads of all flags; see `PostHog.get_all_flags_and_payloads`."""


@of_default(Client.get_remote_config_payload)
def get_remote_config_payload() -> None:
    """Return the payload of a remote config flag; see `PostHog.get_remote_config_payload`."""


@of_default(Client.load_feature_flags)
def load_feature_flags() -> None:
    """Load the flag definitions now; see `PostHog.load_feature_flags`."""


@of_default(Client.feature_flag_definitions)
def feature_flag_definitions() -> None:
    """Return the definitions that are loaded; see `PostHog.feature_flag_definitions`."""


@of_default(Client.get_feature_flag_evaluation_runtime)
def get_feature_flag_evaluation_runtime() -> None:
    """Return where a flag is meant to be evaluated.

    See `PostHog.get_feature_flag_evaluation_runtime`.
    """


@of_default(Client.get_feature_flag_keys_by_evaluation_runtime)
def get_feature_flag_keys_by_evaluation_runtime() -> None:
    """Return the flags that suit a runtime.

    See `PostHog.get_feature_flag_keys_by_evaluation_runtime`.
    """
