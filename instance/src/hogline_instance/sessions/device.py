"""The browser, system and device that a User-Agent header names, read by ua-parser."""

from dataclasses import dataclass

__all__ = ["Device", "device_of"]

_MAX_CHARACTERS = 500
_UNKNOWN = frozenset({"", "Other", "Generic", "Spider"})


@dataclass(frozen=True, slots=True)
class Device:
    """A visitor's browser, system and device; "" where one is unknown."""

    browser: str = ""
    os: str = ""
    kind: str = ""


def device_of(user_agent: str) -> Device:
    """Parse *user_agent*; a program that is not a browser gets an empty device."""
    if not user_agent:
        return Device()
    from ua_parser import parse  # imported lazily: it compiles hundreds of patterns

    found = parse(user_agent[:_MAX_CHARACTERS])
    browser, system, device = found.user_agent, found.os, found.device
    return Device(
        _named(browser.family, browser.major) if browser else "",
        _named(system.family, system.major) if system else "",
        device.family if device and device.family not in _UNKNOWN else "",
    )


def _named(family: str, major: str | None) -> str:
    return "" if family in _UNKNOWN else f"{family} {major}" if major else family
