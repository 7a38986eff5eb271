"""Tells systemd that the program is ready, alive or stopping (sd_notify(3)); does nothing elsewhere."""

import os
import socket


def notify(state: str) -> None:
    """Send e.g. `READY=1` or `WATCHDOG=1` to the socket that the service manager named, if it did."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(address)
        sock.sendall(state.encode())


def watchdog_every_s() -> float | None:
    """How often to send `WATCHDOG=1`: half of what the service manager waits; None when it does not watch."""
    wait_us = os.environ.get("WATCHDOG_USEC", "")
    return int(wait_us) / 2e6 if wait_us.isdigit() and int(wait_us) > 0 else None
