"""The channels of alerts: webhooks, Slack-shaped webhooks, and mail.

Each sends a message once, and says whether another attempt may help.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from hogline_instance.alerts.channels import mail, slack, webhook
from hogline_instance.alerts.channels.outcome import Outcome
from hogline_instance.alerts.channels.webhook import new_secret
from hogline_instance.alerts.message import Message
from hogline_instance.alerts.tables import AlertRow
from hogline_instance.settings import Settings

__all__ = ["CHANNELS", "HOOKS", "MAIL", "SLACK", "WEBHOOK", "Outcome", "new_secret"]

WEBHOOK, SLACK, MAIL = "webhook", "slack", "mail"
HOOKS = (WEBHOOK, SLACK)
"""The kinds of alerts that have a URL."""
CHANNELS: Mapping[str, Callable[[Message, AlertRow, Settings], Outcome]] = MappingProxyType(
    {WEBHOOK: webhook.send, SLACK: slack.send, MAIL: mail.send}
)
"""For each kind of alert, the function that sends a message."""
