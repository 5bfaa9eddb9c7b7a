"""What a hostile input is, and how to tell whether it did harm."""

import contextlib
import dataclasses
import hashlib
import io
import os
import re
import stat
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tfsupermask._validation import InputError

MAX_SENTENCE = 1000
MAX_DISK = 4 << 20
RAN = "ran"  # the file that an input's code would leave, if it were run
ESCAPE = "\x1b]0;owned\x07"  # commands a terminal
DEEP = "[" * 100_000 + "]" * 100_000  # JSON

_HASHED = 1 << 20


@dataclasses.dataclass(frozen=True)
class Input:
    """Something that wants to do harm.

    Args:
        make: Puts its files into an empty folder and returns the call that reads them.
        says: A regular expression that the refusal must match; `None` if it works.
        rule: The rule by which it works.
    """

    make: Callable[[Path], Callable[[], Any]]
    says: str | None = None
    rule: str = ""


def refused(says, makers):
    """Returns inputs that are all refused with the same words."""
    return {name: Input(make, says) for name, make in makers.items()}


def works(rule, makers):
    """Returns inputs that all work by the same rule."""
    return {name: Input(make, rule=rule) for name, make in makers.items()}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Whether an input was refused, in what words, its faults, and its warnings."""

    refused: bool
    words: str
    faults: tuple[str, ...]
    warned: tuple[str, ...] = ()


def judge(given: Input, call: Callable[[], Any], folder: Path) -> Outcome:
    """Makes the call that `given.make(folder)` returned and says what came of it."""
    before = _listing(folder)
    refused, words, faults = False, "", []
    printed = io.StringIO()
    with (
        warnings.catch_warnings(record=True) as caught,
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
    ):
        warnings.simplefilter("always")
        try:
            call()
        except (InputError, OSError) as error:
            refused, words = True, str(error)
        except SystemExit as end:
            refused, words = end.code not in (None, 0), str(end.code or "")
        except (Exception, KeyboardInterrupt) as error:
            words = f"{type(error).__name__}: {error}"
            faults.append("a traceback")
    warned = tuple(str(w.message) for w in caught if w.category is UserWarning)
    if not faults:
        faults += _of_words(given, refused, words)
    if not all(map(_is_printable, (words, *warned, *printed.getvalue().split("\n")))):
        faults.append("control characters for the terminal")
    if any(len(text) > MAX_SENTENCE for text in (words, *warned)):
        faults.append(f"more than {MAX_SENTENCE} characters")
    return Outcome(refused, words, (*faults, *_of_files(folder, before)), warned)


def _of_words(given, refused, words):
    if given.says is None:
        return ["refused"] if refused else []
    if not refused:
        return ["taken for good"]
    found = re.search(given.says, words, re.DOTALL)
    return [] if found else ["another sentence"]


def _of_files(folder, before):
    after = _listing(folder)
    if any(os.path.basename(path) == RAN for path in after):
        yield "its code was run"
    files = {path: f for path, f in before.items() if stat.S_ISREG(f[0])}
    if any(after.get(path) != facts for path, facts in files.items()):
        yield "what was there is gone or changed"
    if sum(after[path][1] for path in after.keys() - before.keys()) > MAX_DISK:
        yield f"more than {MAX_DISK >> 20} MB written"


def _is_printable(text):
    return not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\n]", text)


def _listing(folder):
    """Returns kind, bytes and content's hash of all that is below a folder, by path."""
    facts = {}
    for root, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = os.path.join(root, name)
            status = os.lstat(path)
            facts[os.path.relpath(path, folder)] = (
                stat.S_IFMT(status.st_mode),
                status.st_blocks * 512,
                _hash(path, status),
            )
    return facts


def _hash(path, status):
    if not stat.S_ISREG(status.st_mode) or status.st_blocks * 512 > _HASHED:
        return status.st_mtime_ns
    if status.st_size > 8 * _HASHED:
        return status.st_size
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
