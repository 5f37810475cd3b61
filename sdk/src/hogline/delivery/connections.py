"""Connections to one host: through the proxy, and with the certificate authorities, that the environment names for it."""

import os
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3

__all__ = ["authorities", "open_pool", "proxy_of"]


def open_pool(host: str, *, connections: int = 1) -> urllib3.PoolManager:
    """Return keep-alive connections to *host*, at most *connections* of them kept."""
    options: dict[str, Any] = {"num_pools": 4, "maxsize": connections}
    trusted = authorities()
    if trusted is not None:
        options["ca_cert_dir" if os.path.isdir(trusted) else "ca_certs"] = trusted  # noqa: PTH112 - no pathlib here
    proxy = proxy_of(host)
    if proxy is None:
        return urllib3.PoolManager(**options)
    address = urlsplit(proxy)
    if address.username is not None:
        who = f"{unquote(address.username)}:{unquote(address.password or '')}"
        options["proxy_headers"] = urllib3.make_headers(proxy_basic_auth=who)
    return urllib3.ProxyManager(f"{address.scheme}://{address.netloc.rpartition('@')[2]}", **options)


def proxy_of(host: str) -> str | None:
    """Return the URL of the proxy that stands before *host*, or None."""
    parts, proxies = urlsplit(host), getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def authorities() -> str | None:
    """Return the file or folder of certificate authorities to trust instead of the system's, or None."""
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE") or None
