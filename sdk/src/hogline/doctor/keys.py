"""Checks of the project token and the host by their form. Pure."""

from urllib.parse import urlsplit

from hogline.doctor.finding import Finding

__all__ = ["host_finding", "token_finding"]

_PERSONAL = ("phx_", "phs_")
_SHOWN_CHARACTERS = 8
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def token_finding(token: str) -> Finding:
    """Check the project token's form."""
    subject = "project token"
    if not token:
        advice = "pass --token phc_..., or set HOGLINE_PROJECT_TOKEN; it is in the project's settings"
        return Finding(subject, "fail", "there is none, so nothing is sent", advice)
    shown = f"{token[:_SHOWN_CHARACTERS]}..."
    if token.startswith(_PERSONAL):
        advice = "use the project's token, phc_...; and change this key if it ever reached a browser"
        return Finding(subject, "fail", f"{shown} is a private key, not a project token", advice)
    if not token.startswith("phc_"):
        return Finding(subject, "warn", f"{shown} does not begin with phc_, as PostHog's project tokens do")
    return Finding(subject, "ok", shown)


def host_finding(given: str | None, host: str) -> Finding:
    """Check the *host* that a client made of the *given* one."""
    parts = urlsplit(host)
    if given and given.strip().rstrip("/") != host:
        return Finding("host", "ok", f"{host} (the ingestion address of {given})")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        return Finding("host", "warn", f"{host} is not encrypted", "use https:// where the network is not your own")
    return Finding("host", "ok", host)
