"""The function around a position of a minified script: where its name stands. Pure.

A tokenizer, not a parser: it matches braces outside strings, comments, templates and regular
expressions, and looks at what stands before each.
"""

import re
from dataclasses import dataclass

__all__ = ["FunctionScope", "enclosing_function", "function_scopes"]

_TOKEN = re.compile(
    r"""(?P<skip>\s+|//[^\n]*|/\*.*?\*/)|(?P<text>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)"""
    r"""|(?P<name>[A-Za-z_$\u0080-\uffff][\w$\u0080-\uffff]*)|(?P<number>\d[\w.]*)|(?P<mark>=>|[^\w\s])""",
    re.DOTALL,
)
_REGEX = re.compile(r"/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n\[])+/[A-Za-z]*")
_BEFORE_REGEX = frozenset("(,=:[!&|?{};+-*%<>~^") | {"=>", "return", "typeof", "case", "in", "of", "delete", "void"}
_CONTROL = frozenset({"if", "for", "while", "switch", "catch", "with", "await"})
_OPENING, _CLOSING, _ENDS = frozenset("([{"), frozenset(")]}"), frozenset(",;")
_MAX_TOKENS = 5_000_000


@dataclass(frozen=True, slots=True)
class FunctionScope:
    """A function from *start* to *end* (offsets); `name_at` is None for a nameless one."""

    start: int
    end: int
    name_at: int | None
    name: str


def enclosing_function(scopes: list[FunctionScope], offset: int) -> FunctionScope | None:
    """Return the innermost function around *offset*, or None outside all."""
    around = [scope for scope in scopes if scope.start <= offset < scope.end]
    return max(around, key=lambda scope: scope.start, default=None)


def function_scopes(source: str) -> list[FunctionScope]:
    """Return the functions of *source*, those of arrows without braces among them."""
    tokens = _tokens(source)
    found: list[FunctionScope] = []
    open_braces: list[tuple[tuple[int | None, str] | None, int]] = []
    open_arrows: list[tuple[tuple[int | None, str], int, int]] = []
    parens: list[int] = []
    closed_by: dict[int, int] = {}
    depth = 0
    for place, (text, start) in enumerate(tokens):
        if text in _OPENING:
            depth += 1
        while open_arrows and (
            (text in _CLOSING and depth <= open_arrows[-1][2]) or (text in _ENDS and depth == open_arrows[-1][2])
        ):
            (name_at, name), begin, _ = open_arrows.pop()
            found.append(FunctionScope(begin, start, name_at, name))
        if text in _CLOSING:
            depth = max(depth - 1, 0)
        if text == "(":
            parens.append(place)
        elif text == ")" and parens:
            closed_by[place] = parens.pop()
        elif text == "{":
            open_braces.append((_function_name(tokens, place, closed_by), start))
        elif text == "}" and open_braces:
            function, begin = open_braces.pop()
            if function is not None:
                found.append(FunctionScope(begin, start + 1, *function))
        elif text == "=>" and tokens[place + 1 : place + 2] and tokens[place + 1][0] != "{":
            open_arrows.append((_arrow_name(tokens, place, closed_by), tokens[place + 1][1], depth))
    found += [FunctionScope(begin, len(source), *function) for function, begin, _ in open_arrows]
    return found


def _tokens(source: str) -> list[tuple[str, int]]:
    tokens: list[tuple[str, int]] = []
    position, before = 0, ";"
    while position < len(source) and len(tokens) < _MAX_TOKENS:
        if source[position] == "/" and before in _BEFORE_REGEX and (regex := _REGEX.match(source, position)):
            position, before = regex.end(), "regex"
            tokens.append(("regex", regex.start()))
            continue
        match = _TOKEN.match(source, position)
        if match is None:
            position += 1
            continue
        position = match.end()
        if match.lastgroup != "skip":
            before = "text" if match.lastgroup == "text" else match[0]
            tokens.append((before, match.start()))
    return tokens


def _function_name(
    tokens: list[tuple[str, int]], brace: int, closed_by: dict[int, int]
) -> tuple[int | None, str] | None:
    """Return where the name of the function stands whose body begins at *brace*; None for a block."""
    before = brace - 1
    if before < 0:
        return None
    if tokens[before][0] == "=>":
        return _arrow_name(tokens, before, closed_by)
    if tokens[before][0] != ")" or before not in closed_by:
        return None
    name = closed_by[before] - 1
    if name < 0:
        return None
    text, start = tokens[name]
    if text == "*" and name > 0 and tokens[name - 1][0] == "function":
        return _assigned(tokens, name - 2)
    if text == "function":
        return _assigned(tokens, name - 1)
    if not re.match(r"[A-Za-z_$\u0080-\uffff]", text) or text in _CONTROL or text in {"text", "regex"}:
        return None
    return start, text


def _arrow_name(tokens: list[tuple[str, int]], arrow: int, closed_by: dict[int, int]) -> tuple[int | None, str]:
    head = arrow - 1
    if head >= 0 and tokens[head][0] == ")" and head in closed_by:
        head = closed_by[head]
    return _assigned(tokens, head - 1)


def _assigned(tokens: list[tuple[str, int]], place: int) -> tuple[int | None, str]:
    """Return the name that a nameless function is assigned to: `name = ...` or `name: ...`."""
    if place >= 0 and tokens[place][0] == "async":
        place -= 1
    if place >= 1 and tokens[place][0] in {"=", ":"} and re.match(r"[A-Za-z_$]", tokens[place - 1][0]):
        text, start = tokens[place - 1]
        if text not in {"text", "regex", "default", "case"}:
            return start, text
    return None, ""
