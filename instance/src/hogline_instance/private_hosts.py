"""Which network addresses are public, and which private ones an option allows. Pure."""

import ipaddress
from dataclasses import dataclass

__all__ = ["PrivateHosts", "is_public"]

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class PrivateHosts:
    """The hosts at private addresses that an option allows: names, addresses and networks."""

    names: frozenset[str] = frozenset()
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "PrivateHosts":
        """Return the hosts of a list such as `hooks.internal, 10.1.0.0/16`. Raises ValueError."""
        names, networks = set(), []
        for each in filter(None, (part.strip().lower() for part in text.split(","))):
            try:
                networks.append(ipaddress.ip_network(each))
            except ValueError:
                if "/" in each or ":" in each:
                    raise ValueError(f"{each!r} is neither a host name without port nor a network") from None
                names.add(each.removesuffix("."))
        return cls(frozenset(names), tuple(networks))

    def allows(self, host: str, address: str) -> bool:
        """Return whether *host* may be contacted at *address*, although that is not public."""
        if host.lower().removesuffix(".") in self.names:
            return True
        parsed = _parsed(address)
        return any(parsed in network for network in self.networks if network.version == parsed.version)


def is_public(address: str) -> bool:
    """Return whether *address* is public, and so is an IPv4 address inside it."""
    return _is_public(_parsed(address))


def _parsed(address: str) -> _Address:
    return ipaddress.ip_address(address.partition("%")[0])


def _is_public(address: _Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _is_public(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved
