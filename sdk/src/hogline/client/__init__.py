"""The client: what a user holds. `client.py` has every public method, and the parts that they hand their work to.

Guards the app from everything below: no error of ours leaves this package.
"""

from hogline.client.client import Client, PostHog, Posthog

__all__ = ["Client", "PostHog", "Posthog"]
