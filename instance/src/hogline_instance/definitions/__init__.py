"""Definitions of events and properties: the names that were seen, with the types of their values."""

from hogline_instance.definitions.lookup import event_names, property_names
from hogline_instance.definitions.tables import EVENT, GROUP, PERSON

__all__ = ["EVENT", "GROUP", "PERSON", "event_names", "property_names"]
