"""The `hogline` command. Its subcommands are entry points of the group `hogline.commands`.

The instance adds its own subcommands.
"""

import sys
from importlib.metadata import EntryPoint, entry_points

from hogline.version import __version__

__all__ = ["main"]

_GROUP = "hogline.commands"
_OWN = {"doctor": "check everything that can stand between an app and its events, and say what to do"}
# Commands of another package: if it is missing, the command line says what to install.
_FROM_INSTANCE = {
    "serve": "run a PostHog instance in one process",
    "keys": "print the URL, project token and personal key of an instance's data folder",
    "tail": "show an instance's events in the terminal as they arrive",
    "demo": "run the instance, a small shop and its visitors",
}


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand and return its exit status.

    2 means the command line was not understood.
    """
    arguments = sys.argv[1:] if argv is None else argv
    commands = {entry.name: entry for entry in entry_points(group=_GROUP)}
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_usage(commands))
        return 0
    name, *rest = arguments
    if name in ("--version", "version"):
        print(f"hogline {__version__}")
        return 0
    if name in commands:
        status = commands[name].load()(rest)
        return int(status or 0)
    if name in _FROM_INSTANCE:
        print(f"hogline {name} is part of the instance: pip install hogline-instance", file=sys.stderr)
        return 2
    print(f"hogline: no command {name!r}\n\n{_usage(commands)}", file=sys.stderr)
    return 2


def _usage(commands: dict[str, EntryPoint]) -> str:
    lines = ["usage: hogline COMMAND [--help]", ""]
    lines += [f"  {name:<10}{summary}" for name, summary in _OWN.items()]
    for name, summary in _FROM_INSTANCE.items():
        missing = "" if name in commands else "  (pip install hogline-instance)"
        lines.append(f"  {name:<10}{summary}{missing}")
    lines += [f"  {name:<10}" for name in commands if name not in _FROM_INSTANCE | _OWN]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
