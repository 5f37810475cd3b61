"""Redaction: finds secrets in texts and URLs, and takes them out.

No other package decides what a secret looks like.

Pure functions over hostile texts; the work grows with a text's length, never with its square. This
package must not know events, frames or settings.
"""

from hogline.redaction.formats import MASK
from hogline.redaction.names import SECRET_NAMES, SECRET_WITHIN, plain_name
from hogline.redaction.texts import redacted_text
from hogline.redaction.urls import redacted_path, redacted_query

__all__ = ["MASK", "SECRET_NAMES", "SECRET_WITHIN", "plain_name", "redacted_path", "redacted_query", "redacted_text"]
