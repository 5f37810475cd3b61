"""Python's cyclic garbage collector, set for a process that decodes thousands of events at a time.

A batch of events is some hundred thousand objects without a cycle, and reference counts free them
all. By default the collector would look through them, and through everything that was imported,
many times during each batch: a fifth of the time that the steps take.
"""

import gc

__all__ = ["collect_nothing", "collect_rarely"]

_NEW_OBJECTS = 50_000  # a few MB: cycles that the pages leave behind wait that long
_GENERATIONS = 20


def collect_nothing() -> None:
    """Collect nothing until `collect_rarely`.

    Imports leave hardly any garbage, and looking for it takes a sixth of the time of a start.
    """
    gc.disable()


def collect_rarely() -> None:
    """Exempt the objects that exist now, and collect only after many new ones."""
    gc.enable()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, _GENERATIONS, _GENERATIONS)
