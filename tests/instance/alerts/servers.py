"""The servers that alerts are sent to in tests, and the options with which an instance reaches them."""

import ssl

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from tests.instance.alerts.receivers import Hooks, Mailbox

OPTIONS = {
    "HOGLINE_ALERT_PRIVATE_HOSTS": "127.0.0.0/8",
    "HOGLINE_ALERT_FIRST_RETRY_S": "0.1",
    "HOGLINE_ALERT_MAX_ATTEMPTS": "3",
    "HOGLINE_ALERT_TIMEOUT_S": "5",
}


class FreePortController(Controller):
    """A mail server on the port that the system chose; aiosmtpd itself needs to know it before."""

    def _trigger_server(self):
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@pytest.fixture(scope="session")
def hooks():
    """A server that hooks are sent to."""
    server = Hooks()
    yield server
    server.close()


@pytest.fixture(scope="session")
def authority():
    """A certificate authority for the mail server."""
    return trustme.CA()


@pytest.fixture(scope="session")
def mail_server(authority):
    """A mail server that wants TLS and a login."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)

    def check(_server, _session, _envelope, _mechanism, data):
        return AuthResult(success=data.login == b"hogline" and data.password == b"secret")

    mailbox = Mailbox()
    controller = FreePortController(
        mailbox, hostname="127.0.0.1", port=0, tls_context=context, require_starttls=True, authenticator=check, auth_required=True,
    )  # fmt: skip
    controller.start()
    yield controller, mailbox
    controller.stop()


@pytest.fixture(scope="session")
def alert_options(mail_server, authority, tmp_path_factory):
    """The options of an instance that may reach these servers."""
    certificate = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(str(certificate))
    return {
        **OPTIONS, "HOGLINE_SMTP_HOST": "127.0.0.1", "HOGLINE_SMTP_PORT": str(mail_server[0].port), "HOGLINE_SMTP_USER": "hogline",
        "HOGLINE_SMTP_PASSWORD": "secret", "HOGLINE_SMTP_FROM": "Hogline <alerts@hogline.test>", "SSL_CERT_FILE": str(certificate),
    }  # fmt: skip


@pytest.fixture(scope="session")
def mailbox(mail_server):
    """The mails that arrived."""
    return mail_server[1]
