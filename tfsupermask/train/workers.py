"""The processes of one run: they meet, say things to each other, and hear who ended.

TensorFlow connects workers in C++, where it waits without a word, without a limit, and
deaf to signals. So they meet before, by sockets of their own: the first one listens on
the port that TensorFlow's server takes afterwards. These connections stay, and all
later meetings use them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfsupermask._validation import fail
from tfsupermask.train import lines
from tfsupermask.train.interruption import Interrupted
from tfsupermask.train.tf_config import Worker

_LAST_WORD_SECONDS = 5
_MAX_SHOWN = 600


class Workers:
    """All processes of a run, as one of them sees them. Alone it never waits.

    The first one is the chief: it writes the files, and the others talk to it alone.
    Once they have joined, the end of one is the end of all.
    """

    def __init__(
        self,
        workers: Sequence[Worker] = (),
        position: int = 0,
        wait_seconds: float = 600,
    ):
        self._workers, self._position = workers, position
        self._wait_seconds = wait_seconds
        self._lines: dict[int, lines.Line] = {}  # by position
        self.number = max(1, len(workers))
        self.chief = position == 0

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind, error, traceback) -> None:
        """Says why to the others; an error of TensorFlow gets the name of who ended."""
        lost = isinstance(error, tf.errors.OpError) and self.number > 1
        why = self._lost(error) if lost else error
        if why is not None and self._lines:
            self._say_to_all(error=self._last_word(why))
        for line in self._lines.values():
            line.close()
        if lost:
            raise why from error

    def join(self) -> None:
        """Waits until all workers are there."""
        if not self._workers:
            return
        with lines.listen(self._me) as listener:
            if self.chief:
                self._let_in(listener)
            else:
                self._call_chief()

    def gather(self, value: Any, limited: bool = True) -> list[Any]:
        """Waits for all workers, and returns the JSON values of all in order.

        Raises ConnectionError if one ends meanwhile, or keeps the others waiting for
        longer than `wait_seconds` if the wait is `limited`.
        """
        if self.number == 1:
            return [value]
        wait = lines.Wait(self._me, self._wait_seconds if limited else None)
        if not self.chief:
            self._lines[0].send(value=value)
            return self._answer(wait, "values")
        said = {0: value}
        while missing := [other for other in self._lines if other not in said]:
            self._tell(wait, missing)
            said |= {other: heard["value"] for other, heard in self._heard()}
        values = [said[position] for position in range(self.number)]
        self._say_to_all(values=values)
        return values

    def agree(self, values: Mapping[str, Any]) -> None:
        """Waits for all workers; raises InputError in each if their values differ."""
        first, *others = self.gather(dict(values))
        for index, other in enumerate(others, start=1):
            for name in sorted(first.keys() | other.keys()):
                if first.get(name) != other.get(name):
                    raise fail(
                        f"All workers must run the same, but `{name}` differs.",
                        worker_0=first.get(name),
                        **{f"worker_{index}": other.get(name)},
                    )

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Ends this process if another one ends while the body keeps Python from it.

        In the body TensorFlow connects the workers. It returns when all have called it,
        and holds Python's lock until then, so that another process has to watch.
        """
        if not self._lines:
            yield
            return
        done, mine = os.pipe()
        watched = os.getpid()
        watcher = os.fork()
        if not watcher:
            os.close(mine)
            self._watch(watched, done)
        os.close(done)
        try:
            yield
        finally:
            os.close(mine)
            os.waitpid(watcher, 0)

    @property
    def _me(self):
        return self._workers[self._position]

    def _let_in(self, listener):
        wait, strangers = lines.Wait(self._me, self._wait_seconds), []
        while missing := [p for p in range(1, self.number) if p not in self._lines]:
            self._tell(wait, missing)
            ready = lines.ready([listener, *strangers, *self._lines.values()])
            if listener in ready:
                strangers.append(lines.accept(listener))
            for line in [each for each in strangers if each in ready]:
                with contextlib.suppress(EOFError, KeyError):
                    hello = line.read()
                    if hello is None:
                        continue
                    self._admit(line, hello)
                strangers.remove(line)
            list(self._heard(0))
        for line in strangers:
            line.close()
        self._say_to_all(go=True)

    def _admit(self, line, hello):
        names, position = [str(worker) for worker in self._workers], hello["position"]
        if hello["cluster"] != names:
            error = fail(
                "All workers must have the same `cluster` in TF_CONFIG.",
                here=hello["cluster"],
                chief=names,
            )
            line.send(error=str(error))
        elif position in self._lines:
            line.send(error=f"{names[position]} must be started once, but is there.")
        elif position in range(1, self.number):
            self._lines[position] = line

    def _call_chief(self):
        wait, chief = lines.Wait(self._me, self._wait_seconds), self._workers[0]
        names = [str(worker) for worker in self._workers]
        while not self._lines:
            wait.tell(names[:1])
            line = lines.call(chief, position=self._position, cluster=names)
            if line is not None:
                self._lines[0] = line
        self._answer(wait, "go")

    def _answer(self, wait, key):
        """Returns what the chief says under a key; tells for whom all wait."""
        names = [str(self._workers[0])]
        while True:
            wait.tell(names)
            for _, heard in self._heard():
                if key in heard:
                    return heard[key]
                names = heard["missing"]

    def _heard(self, *seconds) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields the messages that have come, each with its worker's position."""
        ready = lines.ready(self._lines.values(), *seconds)
        for position, line in self._lines.items():
            if line not in ready:
                continue
            try:
                heard = line.read()
            except EOFError:
                raise ConnectionError(_ended(self._workers[position])) from None
            if heard is not None and "error" in heard:
                raise ConnectionError(heard["error"])
            if heard is not None:
                yield position, heard

    def _tell(self, wait, missing):
        names = [str(self._workers[position]) for position in missing]
        if wait.tell(names):
            self._say_to_all(missing=names)

    def _say_to_all(self, **message):
        for line in self._lines.values():
            line.send(**message)

    def _last_word(self, error):
        if isinstance(error, ConnectionError):
            return str(error)  # names the worker that is gone
        if isinstance(error, Interrupted):
            return _ended(self._me, f" by {error}")
        return _ended(self._me, f" ({error})"[:_MAX_SHOWN])

    def _lost(self, error: Exception) -> ConnectionError:
        """Returns a ConnectionError for an error of TensorFlow."""
        end = time.monotonic() + _LAST_WORD_SECONDS
        try:
            while time.monotonic() < end:
                list(self._heard())
        except ConnectionError as known:
            return known
        return ConnectionError(
            "TensorFlow cannot reach another worker; start all of them again, and the "
            f"run goes on from its last checkpoint ({type(error).__name__})."
        )

    def _watch(self, process, done):
        """Kills a process if a worker ends before `done` closes; never returns."""
        why = f"{self._me} gave up: TensorFlow did not reach the others in time."
        watched, end = dict(self._lines), time.monotonic() + self._wait_seconds
        try:
            while ready := lines.ready(
                [done, *watched.values()], max(0, end - time.monotonic())
            ):
                if done in ready:
                    os._exit(0)
                spoke = {p: line for p, line in watched.items() if line in ready}
                ended = [p for p, line in spoke.items() if line.has_ended()]
                if ended:
                    why = _ended(self._workers[ended[0]])
                    break
                watched = {p: line for p, line in watched.items() if p not in spoke}
            os.write(2, f"error: {why}\n".encode())
            os.kill(process, signal.SIGKILL)
        finally:
            os._exit(1)


def _ended(worker, how=""):
    return (
        f"{worker} ended{how}; start all workers again, and the run goes on from its "
        "last checkpoint."
    )
