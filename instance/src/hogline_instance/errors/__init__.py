"""Error tracking: the stack trace of an `$exception` event, prepared for display."""

from hogline_instance.errors.stack import Failure, failures

__all__ = ["Failure", "failures"]
