"""Values: any object as a short text or number, without calling anything of its own."""

import sys
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, timezone
from enum import EnumType
from itertools import islice
from typing import Any

from hogline.safe_attributes import class_module, class_name
from hogline.tracebacks.masks import REDACTED, REDACTED_KEY, Masks
from hogline.wire.values import serialise

__all__ = ["TooLate", "ValueReader", "is_definition"]

_MAX_TEXT_CHARACTERS = 1024
_MAX_STRUCTURE_CHARACTERS = 2048
# This is more than is shown, because a secret may stand across the cut.
_MAX_SCANNED_CHARACTERS = _MAX_TEXT_CHARACTERS + 256
_MAX_ITEMS = 50
_MAX_DEPTH = 12
_MAX_NODES = 100
_MAX_INTEGER_BITS = 512
_MAX_NAME_CHARACTERS = 64
_MAX_KNOWN_NAMES = 1000
_MAX_KNOWN_TEXTS = 1000
_MIN_KEY_CHARACTERS = 14  # shorter texts repeat, and are remembered
_CIRCLE = "<circular ref>"
_MORE = "..."
_MAX_PAIR_ITEMS = 3
_MIN_SPELLED_ITEMS = 12
_NAME_FIELDS = frozenset({"name", "key", "field", "header", "column", "param", "parameter", "variable", "_name_"})
_VALUE_FIELDS = frozenset({"value", "values", "content", "data", "default", "_value_", "text", "contents", "val", "v"})
_SCHEMES = frozenset({"basic", "bearer", "digest", "negotiate"})
_UNREADABLE = "<unreadable>"

_mro = type.__dict__["__mro__"].__get__
_namespace = type.__dict__["__dict__"].__get__
_arguments = BaseException.__dict__["args"].__get__
_module_dict = vars(types.ModuleType)["__dict__"].__get__
_BLIND = Masks((), (), (), url_credentials=False, detect_secrets=False)
_is_own = (types.GetSetDescriptorType, types.MemberDescriptorType)
_FUNCTION, _BUILTIN, _METHOD = types.FunctionType, types.BuiltinFunctionType, types.MethodType
_CODE = (type, types.ModuleType)
_SEQUENCES = (list, tuple, set, frozenset, deque)
# Classes of the standard library whose `str()` is safe to call, by module. Subclasses are not among
# them.
_PLAIN = {
    "builtins": ("complex",),
    "datetime": ("timedelta",),
    "decimal": ("Decimal",),
    "ipaddress": ("IPv4Address", "IPv4Network", "IPv6Address", "IPv6Network"),
    "pathlib": ("PosixPath", "PurePosixPath", "PureWindowsPath", "WindowsPath"),
    "uuid": ("UUID",),
}


def _is_one_of(kind: type, kinds: Iterable[Any]) -> bool:
    """Return whether *kind* is one of *kinds*.

    Unlike `in`, this does not call a metaclass's `__eq__`.
    """
    return any(kind is one for one in kinds)


class TooLate(Exception):  # noqa: N818 - it is no error
    """The time for reading is over."""


def is_definition(value: Any) -> bool:
    """Return whether *value* is a function, a class or a module: code, not data."""
    kind = type(value)
    # No loop: this runs for every variable.
    return kind is _FUNCTION or kind is _BUILTIN or kind is _METHOD or issubclass(kind, _CODE)


class ValueReader:
    """Reads values until its time is over."""

    def __init__(self, masks: Masks, clock: Callable[[], float], deadline_s: float) -> None:
        self.masks: Masks = masks
        # Keys and short texts repeat. For keys that are shown as they are: whether they hide their
        # values. For texts: the masked text.
        self._names: dict[str, bool] = {}
        self._texts: dict[str, str] = {}
        self._clock = clock
        self.deadline_s = deadline_s
        self._nodes = 0
        self._room = 0
        self._redacted_keys = 0
        loaded = ((sys.modules.get(module), names) for module, names in _PLAIN.items())
        self._plain = [vars(module).get(name) for module, names in loaded if module is not None for name in names]

    def read(self, value: Any) -> str | int | float:
        """Return *value* as a number or as a text; of structures, as JSON.

        Raises TooLate.
        """
        self._nodes, self._room, self._redacted_keys = _MAX_NODES, _MAX_STRUCTURE_CHARACTERS, 0
        try:
            node = self._node(value, 0, ())
        except (TooLate, MemoryError):
            raise
        except Exception:  # another thread may change it meanwhile
            return _UNREADABLE
        if type(node) is int or type(node) is float or type(node) is str:
            return node
        if node is None or type(node) is bool:
            return str(node)
        text = _json(node)
        return text if len(text) <= _MAX_STRUCTURE_CHARACTERS else text[:_MAX_STRUCTURE_CHARACTERS] + _MORE

    def _node(self, value: Any, depth: int, around: tuple[int, ...]) -> Any:
        """Return *value* in JSON's types."""
        self._nodes -= 1
        if self._nodes < 0 or self._room <= 0:
            return _MORE
        kind = type(value)
        if kind is str and len(value) < _MIN_KEY_CHARACTERS:
            self._room -= len(value)
            return self._texts.get(value) or self._short(value)
        if kind is int:
            return value if -(2**63) <= value < 2**63 else self._integer(value)
        if value is None or kind is bool:
            return value
        if kind is float:
            return value if value - value == 0 else repr(value)
        if self._clock() > self.deadline_s:
            raise TooLate
        if issubclass(kind, str):
            return self._text(str.__getitem__(value, slice(_MAX_SCANNED_CHARACTERS)), str.__len__(value))
        if issubclass(kind, int):
            return self._node(int.__int__(value), depth, around)
        if issubclass(kind, float):
            return self._node(float.__float__(value), depth, around)
        if id(value) in around:
            return _CIRCLE
        if depth >= _MAX_DEPTH:
            return _MORE
        return self._structure(value, kind, depth + 1, (*around, id(value)))

    def _structure(self, value: Any, kind: type, depth: int, around: tuple[int, ...]) -> Any:
        if issubclass(kind, dict):
            return self._mapping(dict.items(value), dict.__len__(value), depth, around)
        for base in _SEQUENCES:
            if issubclass(kind, base):
                names = _field_names(value, kind) if base is tuple and kind is not tuple else ()
                return self._sequence(base.__iter__(value), base.__len__(value), depth, around, names)
        for binary in (bytes, bytearray):
            if issubclass(kind, binary):
                text = bytes(binary.__getitem__(value, slice(_MAX_SCANNED_CHARACTERS))).decode("latin-1")
                return self._text(text, binary.__len__(value), lambda shown: repr(shown.encode("latin-1", "replace")))
        if _is_one_of(kind, self._plain):
            return self._text(str(value)[:_MAX_SCANNED_CHARACTERS])
        if issubclass(kind, date):
            return self.masks.without_secrets(_moment(value))
        if is_definition(value):
            return self.masks.without_secrets(_definition(value, kind))
        if issubclass(kind, BaseException):
            held = _arguments(value)
            arguments = self._sequence(tuple.__iter__(held), tuple.__len__(held), depth, around)
            return f"{class_name(kind)}({_json(arguments)[1:-1]})"
        return self._object(value, kind, depth, around)

    def _short(self, text: str) -> str:
        """Return a short *text* masked."""
        shown = self.masks.shown(text)
        if len(self._texts) < _MAX_KNOWN_TEXTS:
            self._texts[text] = shown
        return shown

    def _integer(self, value: int) -> str:
        bits = value.bit_length()
        return str(value) if bits <= _MAX_INTEGER_BITS else f"<integer of {bits} bits>"

    def _text(self, text: str, length: int = 0, rendered: Callable[[str], str] | None = None) -> str:
        """Return the beginning of a *text* of that *length*.

        It is masked before it is cut, so that no half of a secret is left.
        """
        shown = self.masks.shown(text)
        is_cut = len(shown) > _MAX_TEXT_CHARACTERS or length > len(text)
        if shown != REDACTED:
            shown = shown[:_MAX_TEXT_CHARACTERS]
            shown = rendered(shown) if rendered is not None else shown
            shown = shown + _MORE if is_cut else shown
        self._room -= len(shown)
        return shown

    def _mapping(self, items: Iterable[tuple[Any, Any]], length: int, depth: int, around: tuple[int, ...]) -> Any:
        shown: dict[str, Any] = {}
        held = tuple(islice(items, _MAX_ITEMS))
        is_record = self._is_secret_record(held)
        for key, item in held:
            if self._nodes <= 0 or self._room <= 0:
                break
            name = key
            is_hidden = self._names.get(key) if type(key) is str else None
            if is_hidden is None:
                name, is_hidden = self._key(key, depth, around)
            self._room -= len(name)
            is_hidden = is_hidden or (is_record and name.lower() in _VALUE_FIELDS)
            shown[name] = REDACTED if is_hidden else self._node(item, depth, around)
        if length > len(shown):
            shown[_MORE] = f"{length - len(shown)} more"
        return shown

    def _is_secret_record(self, items: tuple[tuple[Any, Any], ...]) -> bool:
        """Return whether a field of *items* names a secret that another field holds.

        An example is `{"name": "password", "value": ...}`.
        """
        return any(
            type(key) is str and key.lower() in _NAME_FIELDS and self._names_a_secret(item) for key, item in items
        )

    def _key(self, key: Any, depth: int, around: tuple[int, ...]) -> tuple[str, bool]:
        """Return a key as it is shown, and whether it hides its value."""
        if not issubclass(type(key), str):
            return self._other_key(key, depth, around)
        text = str.__getitem__(key, slice(_MAX_TEXT_CHARACTERS))
        is_hidden = self.masks.hides_name(text)
        if type(key) is not str and not is_hidden:
            is_hidden = self._names_a_secret(key)  # a member of an enum has a name besides its text
            if is_hidden:
                return text if self.masks.without_secrets(text) == text else self._redacted_key(), True
        # The name of a secret is shown, and its value is hidden. A name that contains a secret is
        # hidden itself.
        is_name = len(text) <= _MAX_NAME_CHARACTERS and text.replace("-", "_").replace(".", "_").isidentifier()
        if (is_name or not is_hidden) and self.masks.without_secrets(text) == text:
            if is_name and len(self._names) < _MAX_KNOWN_NAMES:
                self._names[text] = is_hidden
            return text, is_hidden
        return self._redacted_key(), is_hidden

    def _redacted_key(self) -> str:
        self._redacted_keys += 1
        return REDACTED_KEY.format(self._redacted_keys)

    def _other_key(self, key: Any, depth: int, around: tuple[int, ...]) -> tuple[str, bool]:
        """Return the same for a key that is no text.

        Whether it hides its value depends on its text without masks.
        """
        room = self._nodes, self._room
        masks, names, texts = self.masks, self._names, self._texts
        # Unmasked texts must not get into the caches.
        self.masks, self._names, self._texts = _BLIND, {}, {}
        try:
            plain = self._name(key, depth, around)
        finally:
            self.masks, self._names, self._texts = masks, names, texts
            self._nodes, self._room = room
        self._nodes += 1  # a key is its item's
        name = self._name(key, depth, around)
        # The name of a key without attributes cannot be known, since its own methods are not
        # called.
        is_hidden = (
            masks.hides_name(plain) or self._names_a_secret(key) or (plain.startswith("<") and not is_definition(key))
        )
        if not is_hidden and name == plain:
            return name, False
        return self._redacted_key(), is_hidden

    def _name(self, key: Any, depth: int, around: tuple[int, ...]) -> str:
        node = self._node(key, depth, around)
        return node if type(node) is str else _json(node)

    def _names_a_secret(self, name: Any) -> bool:
        """Return whether *name* is the name of a secret.

        It may be a text, bytes, a member of an enum, or a tuple of these.
        """
        kind = type(name)
        for text_kind in (str, bytes):
            if issubclass(kind, text_kind):
                text: Any = text_kind.__getitem__(name, slice(_MAX_TEXT_CHARACTERS))
                text = text if text_kind is str else text.decode("latin-1")
                if self.masks.hides_name(text) or text.lower() in _SCHEMES:
                    return True
        if issubclass(kind, tuple):  # a column's name in its table's: ("users", "password")
            return any(self._names_a_secret(part) for part in tuple.__getitem__(name, slice(_MAX_PAIR_ITEMS)))
        if kind is str or not issubclass(type(kind), EnumType):
            return False
        held = dict(_attributes(name, kind))
        return any(
            type(text) is str and self.masks.hides_name(text) for text in (held.get("_name_"), held.get("_value_"))
        )

    def _has_userinfo(self, netloc: Any) -> bool:
        """Return whether *netloc* has a user or a password that must be masked.

        *netloc* was split from a URL.
        """
        kind = type(netloc)
        return self.masks.url_credentials and ((kind is str and "@" in netloc) or (kind is bytes and b"@" in netloc))

    def _sequence(
        self, items: Iterator[Any], length: int, depth: int, around: tuple[int, ...], names: tuple[str, ...] = ()
    ) -> list[Any]:
        shown: list[Any] = []
        is_hidden = False
        held = tuple(islice(items, _MAX_ITEMS))
        if len(held) >= _MIN_SPELLED_ITEMS and self._spells_a_secret(held, items):
            return [REDACTED]
        is_form = all(issubclass(type(item), tuple) for item in held)
        for number, item in enumerate(held):
            if self._nodes <= 0 or self._room <= 0:
                break
            by_field = number < len(names) and (
                self.masks.hides_name(names[number]) or (names[number] == "netloc" and self._has_userinfo(item))
            )
            shown.append(REDACTED if is_hidden or by_field else self._node(item, depth, around))
            if length <= _MAX_PAIR_ITEMS:  # (name, value), (name, operator, value)
                # An item of a form with two fields may itself be a pair of a name and a value.
                is_pair = issubclass(type(item), tuple)
                is_hidden = is_hidden or (length > 1 and not (is_pair and is_form) and self._names_a_secret(item))
            else:  # a command's arguments
                is_hidden = (
                    type(item) is str and item.startswith("-") and "=" not in item and self.masks.hides_name(item)
                )
        if length > len(shown):
            shown.append(f"{_MORE} {length - len(shown)} more")
        return shown

    def _spells_a_secret(self, held: tuple[Any, ...], rest: Iterator[Any]) -> bool:
        """Return whether *held*, and *rest* behind it, are the characters of a secret or their codes."""
        spelled = ""
        for item in (*held, *islice(rest, _MAX_STRUCTURE_CHARACTERS)):
            if type(item) is int and 0 <= item < sys.maxunicode:
                spelled += chr(item)
            elif type(item) is str and len(item) == 1:
                spelled += item
            elif type(item) is bytes and len(item) == 1:
                spelled += item.decode("latin-1")
            else:
                break
            if len(spelled) == _MIN_SPELLED_ITEMS and not spelled.isprintable():  # numbers of other kinds
                break
        return len(spelled) >= _MIN_SPELLED_ITEMS and self.masks.without_secrets(spelled) != spelled

    def _object(self, value: Any, kind: type, depth: int, around: tuple[int, ...]) -> Any:
        held = [item for item in _attributes(value, kind) if not self.masks.ignores(item[0])]
        if not held:
            return f"<{class_module(kind)}.{class_name(kind)}>"
        return {**self._mapping(held, len(held), depth, around), "__class__": class_name(kind)}


def _field_names(value: Any, kind: type) -> tuple[str, ...]:
    """Return the names of the items of a named tuple, or of a structure.

    `os.stat_result` is such a structure. No code of the class is called.
    """
    for base in _mro(kind):
        namespace = _namespace(base)
        fields = namespace.get("_fields")
        if type(fields) is tuple:
            return tuple(field if type(field) is str else "" for field in fields)
        if "n_sequence_fields" in namespace:
            members = (name for name, item in namespace.items() if type(item) is types.MemberDescriptorType)
            return tuple(islice(members, tuple.__len__(value)))
    return ()


def _attributes(value: Any, kind: type) -> Iterator[tuple[str, Any]]:
    """Yield the attributes in the dict and the slots of *value*.

    No property and no `__getattr__` is called.
    """
    has_dict = False
    for base in _mro(kind):
        names = _namespace(base)
        found = names.get("__dict__")
        if found is not None and not has_dict:
            has_dict = True
            held = found.__get__(value) if type(found) in _is_own else None
            if type(held) is dict:
                yield from ((name, item) for name, item in tuple(islice(held.items(), _MAX_ITEMS)) if type(name) is str)
        if base is object or "__slots__" not in names:
            continue
        for name, slot in tuple(names.items()):
            if type(slot) is types.MemberDescriptorType and name not in ("__dict__", "__weakref__"):
                try:
                    yield name, slot.__get__(value)
                except AttributeError:  # never set
                    continue


def _json(node: Any) -> str:
    return serialise({"": node}).decode()[4:-1]


def _moment(value: Any) -> str:
    """Return a date or datetime in ISO 8601, without calling a time zone of the app."""
    text = f"{date.year.__get__(value):04}-{date.month.__get__(value):02}-{date.day.__get__(value):02}"
    if not issubclass(type(value), datetime):
        return text
    hour, minute, second, micro, zone = (
        datetime.__dict__[name].__get__(value) for name in ("hour", "minute", "second", "microsecond", "tzinfo")
    )
    text = f"{text}T{hour:02}:{minute:02}:{second:02}.{micro:06}"
    if zone is None:
        return text
    return text + (str(zone) if type(zone) is timezone else f" {class_name(type(zone))}")


def _definition(value: Any, kind: type) -> str:
    if issubclass(kind, type):
        return f"<class '{class_module(value)}.{class_name(value)}'>"
    if issubclass(kind, types.ModuleType):
        name = _module_dict(value).get("__name__")
        return f"<module {name if type(name) is str else '?'}>"
    function = value.__func__ if kind is _METHOD else value
    if _is_one_of(type(function), (_FUNCTION, _BUILTIN)):
        return f"<function {function.__qualname__}>"
    return "<function>"
