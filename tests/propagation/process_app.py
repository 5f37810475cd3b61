"""Functions that a process pool imports, for the tests of `carry`."""

from typing import Any

from hogline.context import current


def told(argument: Any) -> tuple[Any, str | None, dict[str, Any]]:
    """Return *argument*, and who acts in this process, with which properties."""
    context = current.get()
    if context is None:
        return argument, None, {}
    return argument, context.acting_distinct_id(), dict(context.properties())


class Callable:
    def __call__(self, argument: Any) -> Any:
        return argument
