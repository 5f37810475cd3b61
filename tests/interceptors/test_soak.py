"""Many visitors at once, with everything that a request may do.

The long version is `./dev bench soak`.
"""

from tests.support.behaviours import shows
from tests.support.site import on_every_server
from tests.support.soaking import soak

VISITORS = 80


@on_every_server
@shows("outliving-tasks", "concurrent-requests", "late-stream-end", "greenlet-isolation")
def test_visitors_at_once_are_never_mixed_and_leave_nothing(site):
    """Streams, tasks, threads, errors and clients that leave mix up no ids, and leave no context
    alive.
    """
    # Earlier tests of this server may have left contexts, such as those of streams never closed.
    before = site.alive()
    result = soak(site, VISITORS)
    assert (result.mixed, result.missing) == ([], [])
    assert result.alive <= before
    assert len(result.refused) < VISITORS / 10, result.refused
    assert result.events >= VISITORS - result.left - len(result.refused)
