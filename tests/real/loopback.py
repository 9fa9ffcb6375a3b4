"""The loopback interface of this machine."""

import socket

import pytest


def has_ipv6() -> bool:
    """Tell whether ::1 can be bound here."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def free_on_both() -> int:
    """Return a port that nobody has on either loopback address.

    It lies below those that the kernel hands out, so that nobody gets it meanwhile.
    """
    for port in range(20_000, 30_000):
        with socket.socket() as four, socket.socket(socket.AF_INET6) as six:
            try:
                four.bind(("127.0.0.1", port))
                six.bind(("::1", port))
            except OSError:
                continue
            return port
    pytest.fail("no port is free")


def answers(port: int) -> bool:
    """Tell whether somebody listens on a port of 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
