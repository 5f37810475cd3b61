"""The result of one check, and what to do about it."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "Verdict"]

Verdict = Literal["ok", "warn", "fail", "skip"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `fail`: events do not arrive, or not complete.

    `warn`: they arrive, but something is odd.
    """

    subject: str
    verdict: Verdict
    said: str
    advice: str | None = None

    def lines(self, width: int) -> str:
        """Return the lines for a terminal, with the subject padded to *width* characters."""
        line = f" {self.verdict:<5} {self.subject:<{width}}  {self.said}"
        return line if self.advice is None else f"{line}\n {'':<5} {'':<{width}}  -> {self.advice}"
