"""From an exception to PostHog's `$exception_list`: chain, frames, source lines, size.

The functions are pure: they change nothing of the exception.

They never raise, whatever the exception's own methods do: they are code of the app.
Source: docs/internals/capture-protocol.md#exceptions.
"""

from hogline.tracebacks.budget import fit
from hogline.tracebacks.chain import Mechanism, exception_list
from hogline.tracebacks.rules import Rules

__all__ = ["Mechanism", "Rules", "exception_list", "fit"]
