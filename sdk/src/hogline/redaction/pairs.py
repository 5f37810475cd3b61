"""Pairs: a secret that stands beside its name without a sign between them.

Examples are a command's arguments, a pair of Python, an element of XML, a record with a name and a
value, and a password in SQL.
"""

import re

from hogline.redaction.names import is_secret_variable

__all__ = ["pair_spans"]

_QUOTED_VALUE = r"[bru]{0,2}(?P<open>\\{0,4}[\"'])(?P<value>(?:[^\\\n]|\\.){0,4096}?)(?P=open)"
_PATTERNS = (
    # ('password', 'x') and ["password", "x"]
    re.compile(
        rf"[(\[]\s{{0,2}}[bru]{{0,2}}(?P<quote>\\{{0,4}}[\"'])(?P<name>[\w .-]{{1,64}})(?P=quote),\s{{0,2}}{_QUOTED_VALUE},?\s{{0,2}}[)\]]"
    ),
    # ['mysql', '--password', 'x']
    re.compile(rf"(?P<quote>\\{{0,4}}[\"'])--?(?P<name>[A-Za-z][\w-]{{1,63}})(?P=quote),\s{{0,2}}{_QUOTED_VALUE}"),
    # mysql --password x
    re.compile(r"(?<!\S)--(?P<name>[A-Za-z][\w-]{1,63}) {1,3}(?P<value>[^\s\"'-][^\s\"']{0,4095})"),
    # <password>x</password>
    re.compile(r"<(?:\w{1,20}:)?(?P<name>[A-Za-z][\w.-]{1,63})(?:\s[^<>]{0,200})?>(?P<value>[^<]{1,4096})</"),
    # {"name": "password", "value": "x"}
    re.compile(
        r"(?P<quote>\\{0,4}[\"'])(?i:name|key|field|header|param|variable)(?P=quote): ?(?P<other>\\{0,4}[\"'])"
        rf"(?P<name>[\w .-]{{1,64}})(?P=other), ?(?P=quote)(?i:value|content|data|default|text)(?P=quote): ?{_QUOTED_VALUE}"
    ),
    # ALTER USER app PASSWORD 'x'
    re.compile(rf"\b(?P<name>(?i:password|passwd|pwd|passphrase))(?i:\s{{1,4}}by)?\s{{1,4}}{_QUOTED_VALUE}"),
    # CREATE USER app IDENTIFIED BY 'x'
    re.compile(rf"\bidentified\s{{1,4}}by(?P<name>\s{{1,4}}(?:password\s{{1,4}})?){_QUOTED_VALUE}", re.IGNORECASE),
)
_IDENTIFIED = _PATTERNS[-1]
# Prose about an option: "use --token to sign in".
_PROSE = frozenset(
    {
        "a", "and", "are", "as", "at", "by", "can", "cannot", "for", "from", "has", "if", "in", "instead", "is", "may", "must",
        "needs", "not", "option", "or", "requires", "should", "the", "to", "was", "when", "with",
    }
)  # fmt: skip


def pair_spans(text: str) -> list[tuple[int, int]]:
    """Return where *text* has values of secrets beside their names.

    The result is pairs of begin and end, in no order.
    """
    return [
        match.span("value")
        for pattern in _PATTERNS
        for match in pattern.finditer(text)
        if match["value"].lower() not in _PROSE and (pattern is _IDENTIFIED or _is_name(match["name"], match["value"]))
    ]


def _is_name(name: str, value: str) -> bool:
    is_count = value.isdigit() and name.endswith("s")  # <tokens>512</tokens>
    return not is_count and is_secret_variable(name)
