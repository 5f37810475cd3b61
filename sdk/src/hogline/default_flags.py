"""The module-level functions that ask the default client about flags: `hogline.evaluate_flags(...)` and its kin."""

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

aevaluate_flags = of_default(Client.aevaluate_flags)
evaluate_flags = of_default(Client.evaluate_flags)
get_feature_flag_result = of_default(Client.get_feature_flag_result)
get_feature_flag = of_default(Client.get_feature_flag)
feature_enabled = of_default(Client.feature_enabled)
get_feature_flag_payload = of_default(Client.get_feature_flag_payload)
get_all_flags = of_default(Client.get_all_flags)
get_all_flags_and_payloads = of_default(Client.get_all_flags_and_payloads)
get_remote_config_payload = of_default(Client.get_remote_config_payload)
load_feature_flags = of_default(Client.load_feature_flags)
feature_flag_definitions = of_default(Client.feature_flag_definitions)
get_feature_flag_evaluation_runtime = of_default(Client.get_feature_flag_evaluation_runtime)
get_feature_flag_keys_by_evaluation_runtime = of_default(Client.get_feature_flag_keys_by_evaluation_runtime)
