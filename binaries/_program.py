"""What all programs share: flags from fields of a dataclass, errors as one sentence."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import types
import typing
import warnings
from collections.abc import Callable, Iterator, Sequence

from absl import app, flags, logging

from tfsupermask import InputError


@contextlib.contextmanager
def _nothing_on_stderr() -> Iterator[None]:
    """Silences also native code; exceptions of Python still pass."""
    sys.stderr.flush()
    with open(os.devnull, "w") as nowhere:
        kept = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


# TensorFlow's start-up messages would hide the program's own. Those that it writes
# before it sets up its logging ignore the level.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with _nothing_on_stderr():
    import tensorflow

# Its advice, for example on retracing, is not for users of the programs.
tensorflow.get_logger().setLevel("ERROR")

_MAX_LINE = 900

_DEFINE = {
    bool: flags.DEFINE_boolean,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
}


def start(main: Callable[[Sequence[str]], None]) -> None:
    """Parses the flags and runs `main(positional arguments)`.

    A user's error is printed as one sentence, with exit status 1. Ctrl-C gives status
    130, SIGTERM 143.
    """

    def parse(argv):
        try:
            return flags.FLAGS(argv)
        except flags.Error as error:
            sys.exit(f"error: {one_line(str(error))} (--help lists the flags)")

    def guarded(argv):
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.WARNING)
        warnings.formatwarning = lambda text, *_: f"warning: {one_line(str(text))}\n"
        try:
            main(argv[1:])
        except (InputError, OSError) as error:
            sys.exit(f"error: {one_line(str(error))}")
        except KeyboardInterrupt as interrupt:
            print(f"interrupted {interrupt}".rstrip(), file=sys.stderr)
            sys.exit(getattr(interrupt, "exit_status", 130))

    app.run(guarded, flags_parser=parse)


def one_line(text: str) -> str:
    """Returns text as one line without control characters, cut if very long."""
    line = " ".join(text.split())
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    return shown if len(shown) <= _MAX_LINE else f"{shown[:_MAX_LINE]}…"


def refuse_arguments(argv: Sequence[str]) -> None:
    """Ends the program if there are positional arguments."""
    if argv:
        raise InputError(
            f"Arguments must be flags (--name=value). Received: {' '.join(argv)}"
        )


def require(value: object, sentence: str) -> None:
    """Ends the program with a sentence if `value` is missing or empty."""
    if not value:
        raise InputError(sentence)


def define_flags(dataclass: type) -> None:
    """Defines a flag for every field of a dataclass, by the metadata help and check."""
    hints = typing.get_type_hints(dataclass)
    for field in dataclasses.fields(dataclass):
        hint = hints[field.name]
        if isinstance(hint, types.UnionType):
            hint = next(t for t in typing.get_args(hint) if t is not type(None))
        _DEFINE[hint](field.name, field.default, field.metadata["help"])
        if field.metadata["check"] is not None:
            flags.register_validator(field.name, _validator(field))


def _validator(field):
    def check(value):
        try:
            return (
                value is None or field.metadata["check"](field.name, value) is not None
            )
        except InputError as error:
            raise flags.ValidationError(str(error)) from error

    return check


def from_flags(dataclass: type):
    """Returns an instance of the dataclass with the flags' values."""
    names = [field.name for field in dataclasses.fields(dataclass)]
    return dataclass(**{name: flags.FLAGS[name].value for name in names})
