"""posthog-python's request errors and hosts under its module's name.

`on_error` gets an `APIError`.
"""

from hogline.exceptions import APIError

__all__ = ["DEFAULT_HOST", "EU_INGESTION_ENDPOINT", "US_INGESTION_ENDPOINT", "APIError", "QuotaLimitError"]

US_INGESTION_ENDPOINT = "https://us.i.posthog.com"
EU_INGESTION_ENDPOINT = "https://eu.i.posthog.com"
DEFAULT_HOST = US_INGESTION_ENDPOINT


class QuotaLimitError(APIError):
    """A quota is used up.

    Hogline raises it nowhere: `$feature_flag_error` is `quota_limited`, and the log says so.
    """
