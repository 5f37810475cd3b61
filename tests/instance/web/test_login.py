"""Signing in: an admin password guards the pages; the API takes keys, or the cookie for reading."""

import re
from urllib.parse import quote, urlencode

import pytest

from hogline_instance.web.auth import SESSION_SECONDS, PageSessions
from tests.instance.reader import Reader, event
from tests.support.instances import start_instance

PASSWORD = "open sesame é"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A reader of an instance with an admin password."""
    served = start_instance(tmp_path_factory.mktemp("guarded") / "data", environ={"HOGLINE_ADMIN_PASSWORD": PASSWORD})
    yield Reader(served.url, served.token, served.key)
    served.stop()


def sign_in(reader, password, target="/sessions"):
    """Post the form as a browser does."""
    return reader.pool.request(
        "POST",
        f"{reader.url}/login",
        body=urlencode({"password": password, "next": target}),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        redirect=False,
    )


def test_pages_ask_for_the_password_and_the_cookie_opens_them(guarded):
    """Every page redirects to the login and back; scripts cannot read the cookie."""
    for path in ("/", "/events?event=a%26b", "/sessions", "/session/x", "/event/x"):
        answer = guarded.get(path, key=None)
        assert (answer.status, answer.headers["Location"]) == (303, f"/login?next={quote(path, safe='')}"), path
    assert guarded.get("/ui/live", key=None).status == 401
    assert guarded.get("/login", key=None).status == 200
    assert guarded.get("/ui/static/style.css", key=None).status == 200
    answer = sign_in(guarded, PASSWORD)
    assert (answer.status, answer.headers["Location"]) == (303, "/sessions")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    sent = {"Cookie": cookie.partition(";")[0]}
    assert guarded.get("/sessions", key=None, headers=sent).status == 200
    assert guarded.get("/sessions", key=None, headers={"Cookie": sent["Cookie"][:-1] + "x"}).status == 303


def test_the_cookie_reads_the_api_from_this_origin_only(guarded):
    """Keys always work; the cookie works unless another site caused the request; capture needs
    neither.
    """
    guarded.send(event("kept"))
    guarded.wait_for(1, event="kept")
    cookie = sign_in(guarded, PASSWORD).headers["Set-Cookie"].partition(";")[0]
    path = "/api/projects/@current/events/"
    assert guarded.get(path, key=None).status == 401
    assert guarded.get(path, key=None, headers={"Cookie": cookie, "Sec-Fetch-Site": "same-origin"}).status == 200
    assert guarded.get(path, key=None, headers={"Cookie": cookie, "Sec-Fetch-Site": "cross-site"}).status == 403


def test_wrong_passwords_are_counted_and_then_refused(serve):
    """The sixth attempt within a minute is refused, even with the right password."""
    served = serve(environ={"HOGLINE_ADMIN_PASSWORD": PASSWORD})
    guarded = Reader(served.url, served.token, served.key)
    for _ in range(5):
        answer = sign_in(guarded, "guess")
        assert answer.status == 403
        assert "Set-Cookie" not in answer.headers
    answer = sign_in(guarded, PASSWORD)
    assert answer.status == 429
    assert int(answer.headers["Retry-After"]) > 0


def test_signing_in_never_leads_to_another_site(guarded):
    """`next` counts only if it is a path of this instance."""
    for target in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/a\r\nX: y"):
        answer = sign_in(guarded, PASSWORD, target)
        assert answer.headers["Location"] == "/", target
        form = guarded.get("/login", key=None, next=target).data.decode()
        assert re.search(r'name="next" value="([^"]*)"', form).group(1) == "/", target


def test_a_session_ends_by_time_by_password_and_by_its_key_file(tmp_path):
    """Cookies are signed with a secret of the folder and the password."""
    sessions = PageSessions(tmp_path, "a")
    value = sessions.issue(now=1_000)
    assert sessions.accepts(value, now=1_000 + SESSION_SECONDS - 1)
    assert not sessions.accepts(value, now=1_000 + SESSION_SECONDS)
    assert PageSessions(tmp_path, "a").accepts(value, now=1_000)
    assert not PageSessions(tmp_path, "b").accepts(value, now=1_000)
    assert not any(sessions.accepts(wrong) for wrong in ("", ".", "9999999999.", f"9{value}", "é.é"))
    [secret] = tmp_path.iterdir()
    assert secret.stat().st_mode & 0o777 == 0o600
    secret.unlink()
    assert not PageSessions(tmp_path, "a").accepts(value, now=1_000)
