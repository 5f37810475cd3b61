"""Small events of requests wait uncounted for a moment, and none of them is lost by that."""

import threading

from hogline.interceptors.wsgi import PostHogInterceptor
from tests.sdk.delivery.test_unfinished import ENVIRON


def serve(client, count, found):
    """Serve *count* requests that capture one event each, and keep the ids that are returned."""

    def app(environ, start_response):
        found.append(client.capture("checkout", properties={"plan": "pro"}))
        start_response("200 OK", [])
        return [b""]

    layer = PostHogInterceptor(app, client=client)
    for _ in range(count):
        list(layer(dict(ENVIRON), lambda *_: None))


def test_an_event_is_counted_as_soon_as_capture_returns(make):
    """`stats()` and `flush()` know of each."""
    client = make(host="http://127.0.0.1:9", flush_interval=1000.0, flush_at=1000)
    found = []
    for count in range(1, 150):
        serve(client, 1, found)
        assert client.stats().accepted == client.stats().waiting == count
    assert len(set(found)) == len(found)


def test_threads_that_capture_around_a_shutdown_get_the_ids_of_what_arrives(make, sink):
    """Before it an event is sent; after it `capture()` returns None, and the event is counted."""
    client = make()
    found: list[list[str | None]] = [[] for _ in range(6)]
    threads = [threading.Thread(target=serve, args=(client, 800, ids)) for ids in found]
    for thread in threads:
        thread.start()
    for _ in range(5):
        client.flush(20)
        client.stats()
    assert client.shutdown(20)
    for thread in threads:
        thread.join()
    returned = [identity for ids in found for identity in ids if identity is not None]
    assert sorted(returned) == sorted(event.uuid for event in sink.events)
    stats = client.stats()
    assert (stats.accepted, stats.sent, stats.waiting) == (6 * 800, len(returned), 0)
    assert dict(stats.dropped) == ({"shutdown": 6 * 800 - len(returned)} if len(returned) < 6 * 800 else {})
