"""posthog-python's errors of local evaluation under its module's name.

Hogline raises neither: an unknown answer is None.
"""

__all__ = ["InconclusiveMatchError", "RequiresServerEvaluation"]


class InconclusiveMatchError(Exception):
    """A flag cannot be evaluated with what is known."""


class RequiresServerEvaluation(Exception):  # noqa: N818 - posthog-python's name
    """Only the server can evaluate a flag."""
