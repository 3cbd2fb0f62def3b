"""Listener: the bound socket that requests arrive at, made before anything else is started."""

from __future__ import annotations

import socket

from utils.errors import ConfigError

_MOST_WAITING = 1024
"""Connections that may wait to be accepted."""


def listen(host: str, port: int) -> socket.socket:
    """Raises ConfigError where the host is no address of this machine or the port is taken."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigError(f"host {host!r} is no address of this machine ({error}); use 127.0.0.1, or --host") from None
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(_MOST_WAITING)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"port {port} on {host} cannot be used ({error.strerror}); choose another with --port"
        ) from None
    return listener


def address_of(listener: socket.socket) -> str:
    """As a browser wants it: `http://127.0.0.1:5000`, `http://[::1]:5000`."""
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}"
