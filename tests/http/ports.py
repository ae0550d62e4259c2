"""Ports for servers of the tests' own."""

import random
import socket

FIRST, LAST = 12000, 19999  # below the range from which the kernel takes the ports of clients


def free_port():
    """A port on which nothing listens. No client can be given it before the server has it."""
    while True:
        port = random.randint(FIRST, LAST)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass
