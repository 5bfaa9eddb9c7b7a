"""What a disk may hold after a crash, told from a log of what a program asked of it.

Certain is only what was asked to last: a file's content up to the last `fsync` of the
file, a folder's names up to the last `fsync` of the folder. All later writes may be
there, in part, or not at all; and so may, each for itself, all later names.
"""

import builtins
import contextlib
import dataclasses
import itertools
import os
from pathlib import Path
from unittest import mock

CONTENTS = ("none of it", "half of it", "zeros", "all of it")


@dataclasses.dataclass(frozen=True)
class Operation:
    """What a program asked of the disk; paths are relative to the logged folder."""

    kind: str  # create, write, sync (a file), rename, unlink, mkdir, sync folder
    path: str
    other: str = ""  # the new name of a rename
    data: bytes = b""
    offset: int = 0


class _File:
    """A file whose writes are logged."""

    def __init__(self, file, path, log):
        self._file, self._path, self._log = file, path, log

    def write(self, data):
        place = self._file.tell()
        data = bytes(data)
        self._log.append(Operation("write", self._path, data=data, offset=place))
        return self._file.write(data)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._file.close()


@contextlib.contextmanager
def logged(root):
    """Yields the list to which all that is asked of the disk below `root` is added."""
    log, root = [], os.path.realpath(root)

    def name(path):
        return os.path.relpath(os.path.realpath(path), root)

    def call(original, operation):
        def wrapped(*arguments, **options):
            result = original(*arguments, **options)
            found = operation(*arguments)
            log.extend([found] if found else [])
            return result

        return wrapped

    def open_logged(path, mode="r", *arguments, **options):
        file = builtins.open(path, mode, *arguments, **options)  # noqa: SIM115
        if not set(mode) & set("wx"):
            return file
        log.append(Operation("create", name(path)))
        return _File(file, name(path), log)

    def synced(descriptor):
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        return Operation("sync folder" if os.path.isdir(path) else "sync", name(path))

    with contextlib.ExitStack() as stack:
        opened = mock.patch("tfsupermask._files.open", open_logged, create=True)
        stack.enter_context(opened)
        for function, operation in {
            "fsync": synced,
            "replace": lambda a, b: Operation("rename", name(a), name(b)),
            "unlink": lambda path: Operation("unlink", name(path)),
            "mkdir": lambda path, *mode: Operation("mkdir", name(path)),
        }.items():
            new = call(getattr(os, function), operation)
            stack.enter_context(mock.patch.object(os, function, new))
        yield log


class Disk:
    """Names and contents, certain and asked for; at the start all is certain."""

    def __init__(self, root):
        self._contents = {}  # (certain or None, asked for) of each file ever made
        self._names = {".": None}  # certain: number of the file, None for a folder
        self._pending = []  # (folder, changes of names) not yet certain
        self._latest = {}
        for path in sorted(Path(root).rglob("*")):
            number = None
            if path.is_file():
                number, content = len(self._contents), path.read_bytes()
                self._contents[number] = (content, content)
            self._names[str(path.relative_to(root))] = number
        self._latest = dict(self._names)

    def do(self, operation):
        """Takes note of an operation."""
        path, number = operation.path, self._latest.get(operation.path)
        if operation.kind == "create":
            number = len(self._contents)
            self._contents[number] = (b"", b"")
            self._rename({path: number})
        elif operation.kind == "mkdir":
            self._rename({path: None})
        elif operation.kind == "rename":
            self._rename({path: ..., operation.other: number})
        elif operation.kind == "unlink":
            self._rename({path: ...})
        elif operation.kind == "write":
            certain, asked = self._contents[number]
            end = operation.offset + len(operation.data)
            asked = asked[: operation.offset] + operation.data + asked[end:]
            self._contents[number] = (certain, asked)
        elif operation.kind == "sync":
            asked = self._contents[number][1]
            self._contents[number] = (asked, asked)
        elif operation.kind == "sync folder":
            now = [change for folder, change in self._pending if folder == path]
            self._pending = [each for each in self._pending if each[0] != path]
            for change in now:
                _apply(self._names, change)

    def _rename(self, change):
        folder = os.path.dirname(next(iter(change))) or "."
        self._pending.append((folder, change))
        _apply(self._latest, change)

    def states(self):
        """Yields every content that a crash now could leave: bytes by path."""
        seen = set()
        for chosen in itertools.product((False, True), repeat=len(self._pending)):
            names = dict(self._names)
            for (_, change), there in zip(self._pending, chosen, strict=True):
                if there:
                    _apply(names, change)
            for kind in CONTENTS:
                state = {
                    path: None if number is None else self._content(number, kind)
                    for path, number in names.items()
                    if _is_reachable(path, names)
                }
                key = tuple(sorted(state.items(), key=lambda item: item[0]))
                if key not in seen:
                    seen.add(key)
                    yield state

    def _content(self, number, kind):
        certain, asked = self._contents[number]
        if kind == "none of it" or certain == asked:
            return certain
        if kind == "half of it":
            return asked[: len(asked) // 2]
        return bytes(len(asked)) if kind == "zeros" else asked


def _apply(names, change):
    for path, number in change.items():
        if number is ...:
            names.pop(path, None)
        else:
            names[path] = number


def _is_reachable(path, names):
    folder = os.path.dirname(path) or "."
    return path == "." or (folder in names and _is_reachable(folder, names))


def write_state(state, root):
    """Makes a folder hold what a disk may hold."""
    for path, content in sorted(state.items()):
        place = Path(root, path)
        if content is None:
            place.mkdir(exist_ok=True)
        else:
            place.write_bytes(content)
