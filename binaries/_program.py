"""What all programs share: flags from the run's fields, errors as one sentence."""

from __future__ import annotations

import dataclasses
import os
import sys
import types
import typing
from collections.abc import Callable, Sequence

# Before TensorFlow is imported: its start-up notes would bury what a person looks for.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from absl import app, flags

from tfsupermask._validation import InputError

_DEFINE = {
    bool: flags.DEFINE_boolean,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
}


def start(main: Callable[[Sequence[str]], None]) -> None:
    """Parses the flags and runs `main(positional arguments)`.

    Errors of the user's are printed as one line, exit status 1; an interrupt from the
    keyboard ends with status 130.
    """

    def guarded(argv):
        try:
            main(argv[1:])
        except InputError as error:
            sys.exit(f"error: {error}")
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)

    app.run(guarded)


def refuse_arguments(argv: Sequence[str]) -> None:
    """Ends the program if there are positional arguments."""
    if argv:
        raise InputError(
            f"Arguments must be flags (--name=value). Received: {' '.join(argv)}"
        )


def define_flags(dataclass: type) -> None:
    """Defines a flag for every field of a dataclass with `help` in its metadata."""
    hints = typing.get_type_hints(dataclass)
    for field in dataclasses.fields(dataclass):
        hint = hints[field.name]
        if isinstance(hint, types.UnionType):
            hint = next(t for t in typing.get_args(hint) if t is not type(None))
        _DEFINE[hint](field.name, field.default, field.metadata["help"])


def from_flags(dataclass: type):
    """Returns an instance of the dataclass with the flags' values."""
    names = [field.name for field in dataclasses.fields(dataclass)]
    return dataclass(**{name: flags.FLAGS[name].value for name in names})
