"""Flags as pure functions.

They take definitions and what is known of a person, and return a verdict with its reason.

The SDK's local evaluation and the instance answer with these. They know no thread, no socket and no
HTTP; the clock is passed in. An answer that is not certain is `Unresolved`, with the reason: a
guess would be a wrong answer.
"""

from hogline.flags.evaluation.ruleset import Ruleset
from hogline.flags.evaluation.subject import Subject
from hogline.flags.evaluation.verdict import FlagValue, UnresolvedFlagReason, Verdict

__all__ = ["FlagValue", "Ruleset", "Subject", "UnresolvedFlagReason", "Verdict"]
