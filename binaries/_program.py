"""What all programs share: how they start, and errors as one sentence."""

from __future__ import annotations

import importlib
import io
import os
import signal
import sys
import unicodedata
import warnings
from collections.abc import Callable
from pathlib import Path

from absl import app, flags, logging

from binaries import end_on_signals
from tfsupermask import InputError, __version__, zoo
from tfsupermask._files import needs_no_traceback
from tfsupermask.export import is_export
from tfsupermask.runs import RunFolder
from tfsupermask.train.interruption import SIGNALS, Interrupted

_MAX_LINE = 900
_SHOWN = ("Zs", "Cf")  # Unicode's spaces and marks that no control character is in


def start(main: Callable[..., None], takes_arguments: bool = False) -> None:
    """Parses the flags and runs `main()` or `main(arguments)`, as `guarded` does."""

    def run(argv):
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.WARNING)
        warnings.formatwarning = lambda text, *_: f"warning: {one_line(str(text))}\n"
        _interrupt_on_signals()
        _, *arguments = argv
        if takes_arguments:
            main(arguments)
        elif arguments:
            text = " ".join(arguments)
            raise InputError(
                f"Arguments must be flags (--name=value). Received: {text}"
            )
        else:
            main()

    if "version" not in flags.FLAGS:
        flags.DEFINE_boolean(
            "version", False, "Print the version.", module_name=sys.argv[0]
        )
    guarded(lambda: app.run(run, flags_parser=_parse))


def guarded(run: Callable[[], None]) -> None:
    """Runs what may fail, on any terminal.

    A user's error, the system's or TensorFlow's is printed as one sentence, with exit
    status 1; --verbosity=1 shows where it was. Ctrl-C gives status 130, SIGTERM 143.
    """
    _open_streams()
    try:
        run()
        sys.stdout.flush()
    except KeyboardInterrupt as interrupt:
        print(f"interrupted {interrupt}".rstrip(), file=sys.stderr)
        sys.exit(getattr(interrupt, "exit_status", 130))
    except Exception as error:
        if not needs_no_traceback(error):
            raise
        logging.debug("", exc_info=True)
        sys.exit(f"error: {one_line(str(error))}")


def load_tensorflow() -> None:
    """Says that TensorFlow is loaded, and loads it."""
    print("loading TensorFlow", file=sys.stderr)
    end_on_signals()
    importlib.import_module("binaries._tensorflow")
    _interrupt_on_signals()


def _interrupt_on_signals():
    def interrupt(number, frame):
        raise Interrupted(number)

    for number in SIGNALS:
        signal.signal(number, interrupt)


def _parse(argv):
    """Returns the positional arguments, the program's name first."""
    if "--version" in argv:
        print(version())
        sys.exit()
    try:
        for argument in argv:
            if argument.startswith("-") and argument != printable(argument):
                raise flags.Error(
                    f"Flags must be text that can be printed. Received: {argument}"
                )
        return flags.FLAGS([_with_home(argument) for argument in argv])
    except SystemExit:  # with status 1, behind --help
        sys.stdout.flush()
        sys.exit()
    except (flags.Error, ValueError) as error:
        sys.exit(f"error: {one_line(str(error))} (--help lists the flags)")


def _with_home(argument):
    """Returns `--flag=~/folder` with the home in it: shells leave it to programs."""
    flag, equals, value = argument.partition("=")
    if flag.startswith("-") and value.startswith("~"):
        return flag + equals + os.path.expanduser(value)
    return argument


class _Stream(io.FileIO):
    """Standard output or error: work goes on when nobody reads it any more."""

    failed = False

    def write(self, content):
        if self.failed:
            return len(content)
        try:
            return super().write(content)
        except OSError as error:
            self.failed = True  # the interpreter writes the rest again at its end
            if self.fileno() == 1 and not isinstance(error, BrokenPipeError):
                raise OSError(error.errno, error.strerror, "standard output") from error
            return len(content)


def _open_streams():
    """Makes standard output and error take all text, whatever they are."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        before = getattr(sys, name)  # None if it was closed
        if before is not getattr(sys, f"__{name}__"):
            continue  # somebody listens in this process
        text = io.TextIOWrapper(
            io.BufferedWriter(_Stream(number, "w", closefd=False)),
            encoding=before.encoding if before else "utf-8",
            errors="backslashreplace",
            line_buffering=True,
        )
        setattr(sys, name, text)


def one_line(text: str) -> str:
    """Returns text as one line without control characters, cut if very long."""
    shown = printable(" ".join(text.split()))
    return shown if len(shown) <= _MAX_LINE else f"{shown[:_MAX_LINE]}…"


def printable(text: str) -> str:
    """Returns text without control characters, which could command the terminal."""
    return "".join(
        c if c.isprintable() or unicodedata.category(c) in _SHOWN else ascii(c)[1:-1]
        for c in text
    )


def version() -> str:
    """Returns what `--version` prints."""
    return f"tfsupermask {__version__}"


def require(value: object, sentence: str) -> None:
    """Ends the program with a sentence if `value` is missing or empty."""
    if not value:
        raise InputError(sentence)


def existing(path: str) -> Path:
    """Returns the run folder or export that a path names, from the zoo as well."""
    found = zoo.resolve(path)
    require(
        is_export(found) or RunFolder(found).config.is_file(),
        "The path must be a run folder, an exported model or zoo:NAME. "
        f"Received: {path}",
    )
    return found
