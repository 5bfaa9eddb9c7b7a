"""Hears what OpenCV's libraries write to stderr: only there they tell of damage.

They return an image all the same, with grey or noise from the damaged place on.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import threading

import cv2

_OF_DAMAGE = re.compile(rb"Corrupt JPEG data|Premature end of JPEG|TIFF_Error")
_OF_OPENCV = rb"\[ *[A-Z]+:\d+@[\d.]+\] .*(\n([> ].*|where|$))*"  # and more lines
_OF_LIBJPEG = rb"(Corrupt JPEG|Premature end|Invalid SOS|Unknown Adobe|Warning: unk).*"
_OF_LIBRARIES = re.compile(
    rb"^(%b|%b|libpng .*)\n?" % (_OF_OPENCV, _OF_LIBJPEG), re.MULTILINE
)


class Listener:
    """Listens from the first `with` to the end of the last, in whatever threads.

    Meanwhile stderr goes to a file. What others write is passed on.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._users = 0

    def __enter__(self) -> Listener:
        with self._lock:
            if not self._users:
                self._start()
            self._users += 1
        return self

    def __exit__(self, *exception) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._stop()

    def count(self) -> int:
        """Returns how often the libraries have complained of damage so far."""
        with self._lock:
            self._hear()
            return self._complaints

    def _start(self):
        log = cv2.utils.logging
        self._level = log.setLogLevel(log.LOG_LEVEL_WARNING)
        self._stderr = self._file = None
        self._position = self._complaints = 0
        # stderr may be closed, or no folder be there to write to.
        with contextlib.suppress(OSError):
            self._stderr = os.dup(2)
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - see `_stop`
            os.dup2(self._file.fileno(), 2)

    def _stop(self):
        if self._file:
            os.dup2(self._stderr, 2)
            self._hear()
            self._file.close()
        if self._stderr is not None:
            os.close(self._stderr)
        cv2.utils.logging.setLogLevel(self._level)

    def _hear(self):
        if not self._file:
            return
        size = os.fstat(self._file.fileno()).st_size - self._position
        new = os.pread(self._file.fileno(), size, self._position)
        self._position += size
        self._complaints += len(_OF_DAMAGE.findall(new))
        with contextlib.suppress(OSError):  # nobody may read it any more
            os.write(self._stderr, _OF_LIBRARIES.sub(b"", new))


listener = Listener()
