"""Flags as pure functions: definitions and what is known of a person in, a verdict with its reason out.

The SDK's local evaluation and the instance answer with these. Knows no thread, no socket, no HTTP;
the clock is passed in. What can't be answered for certain is answered `Unresolved`, with the
reason: a guess would be a wrong answer.
"""

from hogline.flags.evaluation.ruleset import Ruleset
from hogline.flags.evaluation.subject import Subject
from hogline.flags.evaluation.verdict import FlagValue, UnresolvedFlagReason, Verdict

__all__ = ["FlagValue", "Ruleset", "Subject", "UnresolvedFlagReason", "Verdict"]
