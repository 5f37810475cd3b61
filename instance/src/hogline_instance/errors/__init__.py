"""Error tracking: exceptions as people read them."""

from hogline_instance.errors.stack import Failure, failures

__all__ = ["Failure", "failures"]
