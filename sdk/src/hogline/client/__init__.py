"""The client: the object that a user holds.

`client.py` has every public method, and the parts that they hand their work to.

Guards the app from everything below: no error of ours leaves this package.
"""

import logging

from hogline.client.client import Client, PostHog, Posthog
from hogline.redaction.log_lines import RedactingFilter

logging.getLogger("hogline").addFilter(RedactingFilter())

__all__ = ["Client", "PostHog", "Posthog"]
