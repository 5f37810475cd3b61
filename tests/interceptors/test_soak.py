"""Many visitors at once, with everything that a request may do; the long version is `./dev bench soak`."""

from tests.support.behaviours import shows
from tests.support.site import on_every_server
from tests.support.soaking import soak

VISITORS = 80


@on_every_server
@shows("outliving-tasks", "concurrent-requests", "late-stream-end", "greenlet-isolation")
def test_visitors_at_once_are_never_mixed_and_leave_nothing(site):
    """Waits, streams, tasks, threads, errors, clients that leave: 0 strangers' ids, 0 contexts alive."""
    before = site.alive()  # what earlier tests of this server left: streams that nobody closed, say
    result = soak(site, VISITORS)
    assert (result.mixed, result.missing) == ([], [])
    assert result.alive <= before
    assert len(result.refused) < VISITORS / 10, result.refused
    assert result.events >= VISITORS - result.left - len(result.refused)
