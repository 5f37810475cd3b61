"""Requests of the instance to hosts that others name: real sockets, and no way into its own network."""

import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import trustme

from hogline_instance.outgoing import OutgoingError, PrivateAddressError, public_addresses, send_request
from hogline_instance.private_hosts import PrivateHosts


class NoContent(BaseHTTPRequestHandler):
    """Answers 204."""

    def do_GET(self):
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_arguments):
        """Say nothing."""


@pytest.fixture
def listening():
    """Answer each connection with the bytes that the test chose, then keep it open."""
    answers, heard, opened = [], [], []
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            opened.append(connection)
            heard.append(connection.recv(65_536))
            for part in answers:
                connection.sendall(part)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield server.getsockname()[1], answers, heard
    for each in opened:
        each.close()
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(10)


def post(port, addresses=lambda _host, _port: ["127.0.0.1"], **more):
    wanted = {"headers": {}, "body": b"x", "timeout_s": 5.0, "max_bytes": 10, "addresses": addresses, **more}
    return send_request("POST", f"http://hooks.test:{port}/a b?q=\N{SNOWMAN}", **wanted)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "192.168.1.1", "100.64.0.1", "::1", "0.0.0.0", "224.0.0.1",
        "fe80::1", "fd00::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "255.255.255.255",
    ],
)  # fmt: skip
def test_a_private_address_is_refused_in_every_spelling(host):
    """Also an IPv4 address inside an IPv6 address, which a gateway would unwrap."""
    with pytest.raises(PrivateAddressError, match="not public"):
        public_addresses(host, 80)


def test_an_option_allows_single_hosts_and_networks():
    """A name is allowed at any address, a network for any name."""
    for public in ("8.8.8.8", "2001:4860:4860::8888", "64:ff9b::808:808"):
        assert public_addresses(public, 80) == [public]
    assert public_addresses("localhost", 80, PrivateHosts.parse("LOCALHOST."))
    assert public_addresses("127.0.0.1", 80, PrivateHosts.parse("10.0.0.0/8, 127.0.0.1")) == ["127.0.0.1"]
    for other in ("10.0.0.0/8", "hooks.internal", "127.0.0.2"):
        with pytest.raises(PrivateAddressError):
            public_addresses("127.0.0.1", 80, PrivateHosts.parse(other))
    for wrong in ("10.0.0.0/40", "hooks.internal:80"):
        with pytest.raises(ValueError, match="neither a host name"):
            PrivateHosts.parse(wrong)


def test_the_connection_goes_to_the_address_that_was_checked(listening):
    """A name that changes its address after the check is not looked up again."""
    port, answers, heard = listening
    answers.append(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\nX-Seen: yes\r\n\r\n01234567890")
    asked = []

    def rebinding(host, at):
        asked.append((host, at))
        return ["127.0.0.1"]  # hooks.test has no address at all: a second look-up would fail

    answer = post(port, rebinding)
    assert (answer.status, answer.body, answer.is_cut, answer.headers["x-seen"]) == (200, b"0123456789", True, "yes")
    assert asked == [("hooks.test", port)]
    assert heard[0].startswith(b"POST /a%20b?q=%E2%98%83 HTTP/1.1\r\n")
    assert f"Host: hooks.test:{port}\r\n".encode() in heard[0]


def test_the_certificate_must_be_of_the_name_and_not_of_the_address(tmp_path, monkeypatch):
    """Although the connection goes to an address, TLS checks the host of the URL."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("hooks.test").configure_cert(context)
    server = HTTPServer(("127.0.0.1", 0), NoContent)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # the second client refuses the certificate
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def ask(host):
        return send_request(
            "GET", f"https://{host}:{server.server_port}/", headers={}, addresses=lambda *_: ["127.0.0.1"], timeout_s=5, max_bytes=9
        )  # fmt: skip

    try:
        assert ask("hooks.test").status == 204
        with pytest.raises(OutgoingError, match=r"other\.test failed: .*hostname|other\.test failed: .*Hostname"):
            ask("other.test")
        monkeypatch.delenv("SSL_CERT_FILE")
        with pytest.raises(OutgoingError, match="CERTIFICATE_VERIFY_FAILED"):
            ask("hooks.test")
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def test_a_redirect_is_an_answer_and_is_not_followed(listening):
    """Wherever it points."""
    port, answers, heard = listening
    answers.append(f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{port}/b\r\nContent-Length: 0\r\n\r\n".encode())
    assert post(port).status == 302
    assert len(heard) == 1


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1"])
def test_an_answer_that_does_not_end_is_given_up(listening, start):
    """The time counts for the whole answer, and not from each byte."""
    port, answers, _ = listening
    answers.extend([start] if start else [])
    with pytest.raises(OutgoingError, match=r"hooks\.test gave no answer within 0\.2 s"):
        post(port, timeout_s=0.2)


@pytest.mark.parametrize(
    "url", ["ftp://a.test/", "http://user@a.test/", "http:///x", "http://[/", "http://a.test:x/", "http://\N{SNOWMAN}/"]
)
def test_a_url_that_cannot_be_asked_is_refused(url):
    """Before anything is looked up."""
    with pytest.raises(OutgoingError, match="URL"):
        send_request("GET", url, headers={}, addresses=lambda *_: pytest.fail("looked up"), timeout_s=1, max_bytes=1)


def test_the_next_address_is_tried_when_one_refuses(listening):
    """As browsers do; a host may have an IPv6 address without a server."""
    port, answers, _ = listening
    answers.append(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert post(port, lambda _host, _port: ["127.0.0.2", "127.0.0.1"]).status == 204
    with pytest.raises(OutgoingError, match=r"hooks\.test cannot be reached"):
        post(port, lambda _host, _port: ["127.0.0.2"])
