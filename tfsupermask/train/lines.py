"""Lines of JSON between processes, and the patience to wait for them."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import select
import socket
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

from tqdm import tqdm

from tfsupermask._validation import fail
from tfsupermask.train.tf_config import Worker

TELL_SECONDS = 5  # a shorter wait is not worth a line
_TICK_SECONDS = 0.2
_CALL_SECONDS = 5
_GREETING = {"tfsupermask": 1}
_MAX_BYTES = 1 << 20
# A machine that is switched off says nothing: it counts as ended after 90 seconds.
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 6}


class Line:
    """A connection on which each line of text is a JSON object."""

    def __init__(self, connection: socket.socket):
        connection.settimeout(None)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for name, value in _KEEPALIVE.items():
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self._connection = connection
        self._begun = b""

    def fileno(self) -> int:
        """Returns what `select` takes."""
        return self._connection.fileno()

    @property
    def is_whole(self) -> bool:
        """Whether a message has come already that is not read."""
        return b"\n" in self._begun

    def send(self, **message: Any) -> None:
        """Sends a message; that the other one has ended shows when it is read."""
        with contextlib.suppress(OSError):
            self._connection.sendall(json.dumps(message).encode() + b"\n")

    def read(self) -> dict[str, Any] | None:
        """Returns the next message, or `None` while only a part of it has come.

        Raises EOFError if the other one ended, or is none of ours.
        """
        try:
            if not self.is_whole:
                data = self._connection.recv(_MAX_BYTES)
                if not data or len(self._begun) > _MAX_BYTES:
                    raise EOFError
                self._begun += data
            text, newline, rest = self._begun.partition(b"\n")
            if not newline:
                return None
            self._begun = rest
            return dict(json.loads(text))
        except (OSError, ValueError, TypeError) as error:
            raise EOFError from error

    def has_ended(self) -> bool:
        """Returns, of a line that is ready, whether it ends here; reads nothing."""
        try:
            data = self._connection.recv(len(b'{"error"'), socket.MSG_PEEK)
        except OSError:
            return True
        return data in (b"", b'{"error"')

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()


def ready(lines: Iterable[Line | socket.socket], seconds: float = _TICK_SECONDS):
    """Returns those with something to read or accept, as soon as there are any."""
    lines = list(lines)
    whole = [line for line in lines if isinstance(line, Line) and line.is_whole]
    return whole or select.select(lines, [], [], seconds)[0]


def listen(worker: Worker) -> socket.socket:
    """Returns a socket that listens where a worker of this machine is to listen."""
    host, port = worker.host_and_port
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    # Else on all interfaces, like TensorFlow: a machine may know its name as 127.0.1.1.
    both = not local and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both or (local and ":" in host) else socket.AF_INET
    try:
        where = (host if local else "", port)
        return socket.create_server(where, family=family, dualstack_ipv6=both)
    except OSError as error:
        raise fail(
            f"{worker} cannot listen on port {port} ({os.strerror(error.errno)}); it "
            "may be started twice, or another program uses the port."
        ) from error


def accept(listener: socket.socket) -> Line:
    """Returns a line to whoever has called."""
    line = Line(listener.accept()[0])
    line.send(**_GREETING)
    return line


def call(worker: Worker, **hello: Any) -> Line | None:
    """Returns a line to a worker that listens, or `None` if it does not do so yet.

    Whoever else has its port hears nothing: a worker says its name first.
    """
    try:
        line = Line(socket.create_connection(worker.host_and_port, _CALL_SECONDS))
    except OSError:
        time.sleep(_TICK_SECONDS)
        return None
    with contextlib.suppress(EOFError):
        if ready([line], _CALL_SECONDS) and line.read() == _GREETING:
            line.send(**hello)
            return line
    line.close()
    time.sleep(_TICK_SECONDS)
    return None


class Wait:
    """Says for whom a worker waits, and ends the wait after some seconds."""

    def __init__(self, worker: Worker, seconds: float | None):
        self._worker, self._seconds = worker, seconds
        self._start, self._since = time.monotonic(), time.strftime("%H:%M:%S")
        self._told: Sequence[str] = ()

    def tell(self, names: Sequence[str]) -> bool:
        """Prints for whom, once unless they change; returns whether it printed."""
        waited = time.monotonic() - self._start
        if self._seconds is not None and waited > self._seconds:
            raise ConnectionError(
                f"{self._worker} gave up after {self._seconds:g} s: it had waited for "
                f"{' and '.join(names)} since {self._since}. Start every worker, each "
                "with its own index; --wait_seconds sets how long one waits."
            )
        if waited < TELL_SECONDS or names == self._told:
            return False
        self._told = names
        limit = f", at most {self._seconds:g} s" if self._seconds is not None else ""
        text = f"{self._worker} waits for {' and '.join(names)} since {self._since}"
        tqdm.write(text + limit, file=sys.stderr)
        return True
