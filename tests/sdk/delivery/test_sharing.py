"""Several clients in one process: one thread and one connection for each host and key, a ledger for
each client.
"""

import threading

import pytest


def senders():
    return [thread for thread in threading.enumerate() if thread.name == "hogline-worker"]


def test_clients_of_one_host_and_key_share_a_thread_and_a_connection(make, sink):
    """Their other options may differ, and each client counts its own events."""
    before = set(senders())  # threads of earlier tests may end meanwhile
    clients = [make(flush_at=n + 1, gzip=n % 2 == 0) for n in range(4)]
    for n, client in enumerate(clients):
        for _ in range(n + 1):
            client.capture(f"of {n}", distinct_id="u")
    for client in clients:
        assert client.flush(20)
    assert len(set(senders()) - before) == 1
    assert len({request.connection for request in sink.requests}) == 1
    assert [client.stats().sent for client in clients] == [1, 2, 3, 4]
    assert sorted(event.event for event in sink.events) == sorted(f"of {n}" for n in range(4) for _ in range(n + 1))


def test_clients_of_other_keys_do_not_wait_for_each_other(make, sink):
    """A connection and a thread of their own."""
    sink.answer(503, headers={"Retry-After": "20"})
    stuck, well = make("phc_stuck"), make("phc_well")
    stuck.capture("stuck", distinct_id="u")
    stuck.flush(0)
    sink.wait_until(lambda: sink.requests)
    well.capture("well", distinct_id="u")
    assert well.flush(10)
    assert [event.event for event in sink.events] == ["well"]


@pytest.mark.parametrize("shared", [True, False], ids=["one shut down", "all shut down"])
def test_the_thread_ends_with_the_last_client(make, sink, shared):
    """A client that is shut down takes nothing from the others."""
    before = set(senders())
    first, second = make(), make()
    first.capture("a", distinct_id="u")
    assert first.shutdown(20)
    [thread] = set(senders()) - before or [None]
    if shared:
        second.capture("b", distinct_id="u")
        assert second.flush(20)
        assert [event.event for event in sink.events] == ["a", "b"]
    second.shutdown(20)
    for thread in set(senders()) - before:
        thread.join(10)
    assert set(senders()) <= before


def test_a_client_that_gave_up_on_a_hanging_request_does_not_hold_the_others(make, sink):
    """`shutdown()` at its deadline: the thread that hangs is left behind, another one serves."""
    sink.answer(200, delay_s=20)
    stuck, well = make(timeout=60), make()
    stuck.capture("stuck", distinct_id="u")
    stuck.flush(0)
    sink.wait_until(lambda: sink.requests)
    well.capture("well", distinct_id="u")
    assert stuck.shutdown(0.2) is False
    assert well.flush(10)
    assert well.stats().sent == 1
    assert stuck.stats().dropped == {"shutdown": 1}


def test_a_client_that_is_forgotten_still_sends(make, sink):
    """Its events are held by the sender, not by it."""
    from hogline import PostHog

    client = PostHog("phc_test", host=sink.url, flush_interval=0.2)
    client.capture("left", distinct_id="u")
    del client
    assert [event.event for event in sink.wait_for(1)] == ["left"]
