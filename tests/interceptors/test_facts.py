"""What every event of a request carries: the guide's rows, from hostile headers too."""

from tests.support.site import HOST, person_of, visitor


def test_every_row_of_the_guide_is_on_a_plain_capture(site):
    """Behaviour 66, 67: session, person, window, absolute URL, method, path, route template, user agent twice, address."""
    answer = site.ask(
        "/items/7?colour=red",
        headers=[*visitor("alice"), ("User-Agent", "Firefox/1"), ("X-Forwarded-For", "203.0.113.9, 10.0.0.1")],
    )
    event = site.event(answer)
    assert (answer.status, answer.body, event.event, event.distinct_id) == (200, b"7", "captured", "alice")
    expected = {
        "$session_id": "session-alice",
        "$window_id": "window-alice",
        "$current_url": f"http://{HOST}/items/7?colour=red&rid={answer.rid}",
        "$request_method": "GET",
        "$request_path": "/items/7",
        "$request_route": site.framework.route,
        "$user_agent": "Firefox/1",
        "$raw_user_agent": "Firefox/1",
        "$ip": "203.0.113.9",
    }
    assert {name: event.properties.get(name) for name in expected} == expected
    assert person_of(event) == "alice"
    assert event.properties["$request_id"]
