"""The columns of the events table, derived from `EventRow`, and the decoding of selected rows."""

import typing
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from hogline_instance.events.event import StoredEvent
from hogline_instance.events.row import Column, EventRow

__all__ = ["COLUMNS", "LISTED", "SELECT_LIST", "EventColumn", "event_of"]


@dataclass(frozen=True, slots=True)
class EventColumn:
    """A column: its name in the table, its field of `EventRow`, and its type in the store."""

    name: str
    field: str
    column: Column

    @property
    def alias(self) -> str:
        """Return the column's name in a result.

        An alias equal to the column would hide it from WHERE and ORDER BY.
        """
        return f"{self.name}_text" if self.column.as_text else self.name

    @property
    def expression(self) -> str:
        """Return the column's expression in a SELECT list."""
        quoted = f"`{self.name}`" if self.name.startswith("$") else self.name
        return f"toString({quoted}) AS {self.alias}" if self.column.as_text else quoted


def _declared() -> tuple[EventColumn, ...]:
    hints = typing.get_type_hints(EventRow, include_extras=True)
    return tuple(
        EventColumn(declared.encode_name, declared.name, hints[declared.name].__metadata__[0])
        for declared in msgspec.structs.fields(EventRow)
    )


COLUMNS = _declared()
LISTED = tuple(each for each in COLUMNS if each.column.listed)
SELECT_LIST = ", ".join(each.expression for each in LISTED)
"""The columns to select for rows that `event_of` decodes."""


def event_of(row: Mapping[str, object]) -> StoredEvent:
    """Return the event in a row that SELECT_LIST selected."""
    values: dict[str, typing.Any] = {each.field: row[each.alias] for each in LISTED}
    values["raw_properties"] = msgspec.Raw(str(values["raw_properties"]).encode())
    return StoredEvent(**values)
