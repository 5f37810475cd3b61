"""Slack's incoming webhooks, and those of Mattermost, Rocket.Chat and Discord that take the same JSON.

Source: https://docs.slack.dev/messaging/formatting-message-text
"""

import re

import orjson

from hogline_instance.alerts.channels.hooks import post
from hogline_instance.alerts.channels.outcome import Outcome
from hogline_instance.alerts.message import Message, Occasion
from hogline_instance.alerts.tables import AlertRow
from hogline_instance.settings import Settings

__all__ = ["send", "slack_text"]

_MAX_CHARACTERS = 1_700
"""Discord refuses texts of more than 2,000 characters; the last line needs some of them."""
_MAX_PART = 150
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_MENTION = re.compile(r"@(?=(?:channel|here|all|everyone)\b)")


def send(message: Message, alert: AlertRow, settings: Settings) -> Outcome:
    """Post *message* as text with links."""
    return post(alert.url, orjson.dumps({"text": slack_text(message)}), {}, settings)


def slack_text(message: Message) -> str:
    """Return the message in Slack's markup. Names of issues cannot format, nor mention anybody."""
    head = f"*{_escaped(message.headline)}*"
    lines, room, more = [head], _MAX_CHARACTERS - len(head), message.more
    for each in message.occasions:
        line = _entry(each)
        if len(line) > room:
            more += 1
            continue
        lines.append(line)
        room -= len(line) + 1
    if more:
        lines.append(f"and {more} more: <{message.alert_url}|{_escaped(message.alert_name)}>")
    return "\n".join(lines)


def _entry(occasion: Occasion) -> str:
    name, description = occasion.name[:_MAX_PART], occasion.description[:_MAX_PART]
    parts = [f"{occasion.title}: <{occasion.url}|{_escaped(name)}>", _escaped(description)]
    return " \N{MIDDLE DOT} ".join(part for part in [*parts, *map(_escaped, occasion.facts)] if part)


def _escaped(text: str) -> str:
    # Mattermost and Discord also read mentions in plain text; a space of no width ends them.
    return _MENTION.sub("@\N{ZERO WIDTH SPACE}", text.translate(_ESCAPES))
