"""What tests of several workers share."""

import contextlib
import socket


def free_addresses(number):
    addresses = []
    with contextlib.ExitStack() as stack:
        for _ in range(number):
            probe = stack.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            addresses.append(f"127.0.0.1:{probe.getsockname()[1]}")
    return addresses
