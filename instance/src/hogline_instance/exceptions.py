"""The errors of the instance.

InstanceError
 +-- SettingsError (ValueError)     an option is invalid; startup ends with its message
 +-- DataFolderBusyError            another process holds the data folder; it is named
 +-- StoreError                     the store refused an insert or a query
 |    +-- RowsRefusedError          a row of an insert is invalid; the same rows fail again
 +-- JournalFullError               nothing can be accepted now; the request gets a 503
"""

__all__ = [
    "DataFolderBusyError",
    "InstanceError",
    "JournalFullError",
    "RowsRefusedError",
    "SettingsError",
    "StoreError",
]


class InstanceError(Exception):
    """Base class of the errors that the instance raises on purpose."""


class SettingsError(InstanceError, ValueError):
    """An option has an invalid value."""


class DataFolderBusyError(InstanceError):
    """Another process holds the data folder."""


class StoreError(InstanceError):
    """The store refused an insert or a query, or could not be reached."""


class RowsRefusedError(StoreError):
    """The store cannot read a row of an insert; it would refuse the same rows again."""


class JournalFullError(InstanceError):
    """Nothing can be accepted now; the reason is the message."""
