"""The client: what a user holds. `client.py` joins its parts; each of the others is one kind of its methods, over `assembly.py`.

Guards the host's code from all of the rooms below: no error of ours leaves here.
"""

from hogline.client.client import Client, PostHog, Posthog

__all__ = ["Client", "PostHog", "Posthog"]
