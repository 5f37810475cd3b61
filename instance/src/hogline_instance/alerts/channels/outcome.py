"""The result of one attempt to send a message."""

from dataclasses import dataclass

from hogline_instance.db import storable_text

__all__ = ["Outcome"]

_MAX_ANSWER = 500


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of an attempt to send a message; after a failure another attempt may help."""

    accepted: bool
    answer: str
    """The receiver's answer, or the reason of the failure; for people."""
    may_retry: bool = False
    retry_after_s: float | None = None

    def __post_init__(self) -> None:
        """Keep the answer short, on one line, and such that SQL databases store it."""
        text = " ".join(self.answer.replace("\0", "").split())[:_MAX_ANSWER]
        object.__setattr__(self, "answer", storable_text(text))
