"""SIGTERM and Ctrl-C end a run at once, or at the next step where it can be saved."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """A signal asked this process to end.

    Args:
        number: Number of the signal.

    Attributes:
        signal: The signal.
        exit_status: The exit status that a shell reports for it, 128 + `number`.

    Example:
        >>> Interrupted(signal.SIGTERM).exit_status
        143
    """

    def __init__(self, number: int):
        self.signal = signal.Signals(number)
        self.exit_status = 128 + number
        super().__init__(self.signal.name)


class Interruption:
    """Turns signals into `Interrupted`; `pending` is one that came while postponed."""

    def __init__(self):
        self.pending: signal.Signals | None = None
        self._postpone = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interruption:
        # Python lets only the main thread handle signals.
        if threading.current_thread() is threading.main_thread():
            self._before = {n: signal.getsignal(n) for n in SIGNALS}
        self.listen()
        return self

    def __exit__(self, *exception) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def listen(self) -> None:
        """Listens to signals, also where other code has taken them for itself since."""
        for number in self._before:
            signal.signal(number, self._handle)

    @contextlib.contextmanager
    def postponed(self) -> Iterator[None]:
        """Postpones the first signal to the end of the body; a second one ends it."""
        outer, self._postpone = self._postpone, True
        try:
            yield
        finally:
            self._postpone = outer
        if self.pending is not None and not outer:
            raise Interrupted(self.pending)

    def _handle(self, number, frame):
        if not self._postpone or self.pending is not None:
            raise Interrupted(number)
        self.pending = signal.Signals(number)
