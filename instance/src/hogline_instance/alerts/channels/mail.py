"""Mail: plain text and HTML, through the mail server that the instance's options name."""

import smtplib
import ssl
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from hogline_instance.alerts.channels.outcome import Outcome
from hogline_instance.alerts.message import Message
from hogline_instance.alerts.tables import AlertRow
from hogline_instance.db import utc_now
from hogline_instance.settings import Settings

__all__ = ["build_mail", "send"]

_MAX_SUBJECT = 200


def send(message: Message, alert: AlertRow, settings: Settings) -> Outcome:
    """Hand the mail over to the server; it is accepted when one of its addresses is."""
    if not settings.smtp_host:
        return Outcome(accepted=False, answer="this instance sends no mail: HOGLINE_SMTP_HOST is not set")
    try:
        refused = _hand_over(build_mail(message, alert.addresses, settings.smtp_from), settings)
    except smtplib.SMTPAuthenticationError as error:  # the operator can mend it meanwhile
        return Outcome(accepted=False, answer=f"the mail server refuses the login: {_reason(error)}", may_retry=True)
    except smtplib.SMTPRecipientsRefused as error:
        reasons = "; ".join(f"{address}: {code}" for address, (code, _) in error.recipients.items())
        may_retry = any(code < 500 for code, _ in error.recipients.values())
        return Outcome(accepted=False, answer=f"the mail server refuses {reasons}", may_retry=may_retry)
    except smtplib.SMTPResponseException as error:
        return Outcome(
            accepted=False, answer=f"the mail server answers {_reason(error)}", may_retry=error.smtp_code < 500
        )
    except (smtplib.SMTPException, OSError) as error:
        return Outcome(accepted=False, answer=f"the mail server cannot be reached: {error}", may_retry=True)
    except ValueError as error:
        return Outcome(accepted=False, answer=f"the mail cannot be written: {error}")
    return Outcome(accepted=True, answer=f"accepted, but not for {', '.join(refused)}" if refused else "accepted")


def build_mail(message: Message, addresses: list[str], sender: str) -> EmailMessage:
    """Return the mail. Each attempt has the same Message-ID, so that mail programs show it once."""
    mail = EmailMessage(policy=SMTP)
    mail["Subject"] = f"[Hogline] {message.headline}"[:_MAX_SUBJECT]
    mail["From"] = sender
    mail["To"] = ", ".join(addresses)
    mail["Date"] = format_datetime(utc_now())
    mail["Message-ID"] = f"<{message.id}@hogline.invalid>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office replies
    mail.set_content(_templates().get_template("alerts/mail.txt").render(message=message))
    mail.add_alternative(_templates().get_template("alerts/mail.html").render(message=message), subtype="html")
    return mail


def _hand_over(mail: EmailMessage, settings: Settings) -> list[str]:
    """Return the addresses that the server refused, if it accepted others."""
    timeout_s, context = settings.alert_timeout_s, ssl.create_default_context()
    server: smtplib.SMTP
    if settings.smtp_security == "tls":
        server = smtplib.SMTP_SSL(settings.smtp_host, settings.smtp_port, timeout=timeout_s, context=context)
    else:
        server = smtplib.SMTP(settings.smtp_host, settings.smtp_port, timeout=timeout_s)
    with server:
        if settings.smtp_security == "starttls":
            server.starttls(context=context)
        if settings.smtp_user:
            server.login(settings.smtp_user, settings.smtp_password)
        return list(server.send_message(mail))


def _reason(error: smtplib.SMTPResponseException) -> str:
    text = error.smtp_error.decode("utf-8", "replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
    return f"{error.smtp_code} {text}"


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("hogline_instance.alerts"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
