"""Redaction of Hogline's own log lines.

They quote errors of the app and of its servers, which may contain secrets.
"""

import logging

from hogline.redaction.texts import redacted_text

__all__ = ["RedactingFilter"]

_formatted = logging.Formatter().formatException


class RedactingFilter(logging.Filter):
    """Takes secrets out of each record of the logger that it is added to.

    No handler sees the record before that.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the message of *record*, and the text of its traceback. Lets every record pass."""
        try:
            line = record.getMessage()
            redacted = redacted_text(line)
            if redacted != line:
                record.msg, record.args = redacted, None
            if record.exc_info and not record.exc_text:
                traceback = _formatted(record.exc_info)
                redacted = redacted_text(traceback)
                if redacted != traceback:
                    record.exc_text = redacted  # formatters print this text where it is set
        except Exception:  # noqa: S110 - an object of the app that cannot be printed: logging says so itself
            pass
        return True
