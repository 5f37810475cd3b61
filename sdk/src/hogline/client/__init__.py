"""The client: the object that a user holds.

`client.py` has every public method; the other modules are the parts that these delegate to.

This package guards the app from everything below: no error of ours leaves it.
"""

import logging

from hogline.client.client import Client, PostHog, Posthog
from hogline.redaction.log_lines import RedactingFilter

logging.getLogger("hogline").addFilter(RedactingFilter())

__all__ = ["Client", "PostHog", "Posthog"]
