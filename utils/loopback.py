"""Loopback: whether an address is this machine itself, so that nothing sent to it ever leaves."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Of a name or an address: `localhost`, `127.0.0.1`, `::1`, `[::1]`, and an IPv4 one spelled as `::ffff:127.0.0.1`.
    Any other name is not looked up, and is none."""
    name = host.strip("[]").lower()
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
