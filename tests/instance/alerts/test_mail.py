"""Mail to a real server in each kind of encryption, and failures that nobody foresaw."""

import ssl

import pytest

from hogline_instance.alerts.channels import mail
from hogline_instance.alerts.delivery import attempt
from hogline_instance.alerts.editing import create_alert
from hogline_instance.alerts.message import example_message
from hogline_instance.alerts.tables import AlertRow
from hogline_instance.db import Database
from hogline_instance.settings import Settings
from hogline_instance.web.errors import ApiError
from tests.instance.alerts.receivers import Mailbox
from tests.instance.alerts.servers import FreePortController

MESSAGE = example_message(
    message_id="m", base_url="https://hogline.test", alert=(1, "a"), project=(1, "p"), at="2026-12-01T00:00:00Z"
)


def send(port, security, address="ada@shop.test"):
    settings = Settings(
        smtp_host="localhost",
        smtp_port=port,
        smtp_security=security,
        smtp_from="alerts@hogline.test",
        alert_timeout_s=5,
    )
    return mail.send(MESSAGE, AlertRow(kind="mail", addresses=[address]), settings)


@pytest.fixture
def server(request, authority):
    """A mail server without encryption, or with it from the first byte."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    mailbox = Mailbox()
    controller = FreePortController(
        mailbox, hostname="127.0.0.1", port=0, ssl_context=context if request.param else None
    )
    controller.start()
    yield controller.port, mailbox
    controller.stop()


@pytest.mark.parametrize("server", [True], indirect=True)
def test_tls_from_the_first_byte_checks_the_certificate(server, authority, tmp_path, monkeypatch):
    """A certificate that nobody vouches for is an error that may pass, and no mail is sent."""
    port, mailbox = server
    refused = send(port, "tls")
    assert (refused.accepted, refused.may_retry, "CERTIFICATE_VERIFY_FAILED" in refused.answer) == (False, True, True)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert send(port, "tls").accepted
    assert len(mailbox.wait("ada@shop.test")) == 1


@pytest.mark.parametrize("server", [False], indirect=True)
def test_mail_is_not_sent_in_the_clear_unless_the_option_says_so(server):
    """A server that lost its STARTTLS gets nothing."""
    port, mailbox = server
    refused = send(port, "starttls")
    assert (refused.accepted, "STARTTLS" in refused.answer) == (False, True)
    assert mailbox.mails == []
    assert send(port, "none").accepted
    assert len(mailbox.wait("ada@shop.test")) == 1


def test_an_error_that_nobody_foresaw_is_a_failed_attempt():
    """Its reason is in the log, and the message waits for its next attempt."""
    outcome = attempt(MESSAGE, AlertRow(kind="webhook", url="http://a.test/", secret="whsec_x"), Settings())
    assert (outcome.accepted, outcome.may_retry) == (False, True)
    assert outcome.answer.startswith("the message could not be sent: Error(")
    unset = mail.send(MESSAGE, AlertRow(kind="mail", addresses=["ada@shop.test"]), Settings())
    assert (unset.accepted, "HOGLINE_SMTP_HOST" in unset.answer) == (False, True)


def test_an_alert_by_mail_is_refused_without_a_mail_server(tmp_path):
    """When it is made, with the option to set."""
    database = Database(f"sqlite:///{tmp_path / 'projects.sqlite3'}")
    database.migrate()
    body = {"name": "n", "kind": "mail", "addresses": ["ada@shop.test"]}
    with database.transaction() as session, pytest.raises(ApiError, match="HOGLINE_SMTP_HOST"):
        create_alert(session, 1, body, Settings())
    database.close()
