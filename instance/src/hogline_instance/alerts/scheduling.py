"""When an alert sends its next message, and what goes into it. Pure."""

from datetime import datetime, timedelta

__all__ = ["next_retry", "occasions_of_next_message"]


def occasions_of_next_message(*, waiting: int, sent: int, most: int) -> int:
    """Return how many of the *waiting* occasions the next message holds; 0 when it has to wait.

    An alert sends at most *most* messages in its window, and has *sent* so many. When more
    occasions wait than messages are left, they all go into one: a digest.
    """
    left = most - sent
    if left <= 0 or not waiting:
        return 0
    return 1 if waiting <= left else waiting


def next_retry(
    now: datetime, *, attempts: int, first_s: float, longest_s: float, wanted_s: float | None = None
) -> datetime:
    """Return the time of the next attempt after *attempts* failed ones.

    The wait doubles with each attempt. A receiver may ask for a longer one (*wanted_s*), up to the
    longest.
    """
    wait_s: float = min(first_s * 2 ** min(attempts - 1, 40), longest_s)
    return now + timedelta(seconds=min(max(wait_s, wanted_s or 0.0), longest_s))
