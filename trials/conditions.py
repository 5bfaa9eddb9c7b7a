"""What every program does where something around it is wrong.

    python -m trials.conditions
    python -m trials.conditions --only='export|signal'

Each condition is a line of shell, run in an empty folder: closed or full streams, full
and read-only disks, odd paths, poor environments, signals from the first import on,
wrong flags, wrong files. A program must do its work, or end with a status that is not 0
and one sentence; there is no traceback, nothing half-written stays, and nothing that
existed is lost. This program ends with status 1 if a condition falls outside. Full and
read-only disks are small ones that are mounted for it; without the right to do so,
these conditions are left out.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import glob
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from absl import flags

from binaries import _program
from binaries.__main__ import programs
from tfsupermask._text import counted

_ONLY = flags.DEFINE_string("only", "", "Regular expression: the conditions to try.")

_HERE = Path(__file__).resolve().parents[1]
_PATIENCE = 120  # seconds
_MOUNT = "mkdir disk; mount -t tmpfs -o size={size} tmpfs disk; "
_FILL = "dd if=/dev/zero of=disk/filler bs=4k status=none 2>filling; "
_TRAIN = "train --epochs=1 --init=kaiming_normal --width=0.05 --limit_images=200"
# Modules at the import of which signals come, from the first of all on.
_MOMENTS = ("absl", "numpy", "cv2", "tfsupermask", "tensorflow", "keras", "matplotlib")


_EXPECTED = ("", "loading TensorFlow")
# What the conditions need: a run, and what is made of it.
_MAKE = f"P {_TRAIN} --workdir=run" + "".join(
    f" && P export --path=run --output={name}" for name in ("m.keras", "m.ticket")
)
_P = 'P() { python -P -m "binaries.$1" "${@:2}"; }; '
# Runs in every Python that is started, and sends it a signal where AT says.
_HOOK = """
import os, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["AT"]:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), int(os.environ["SIGNAL"]))
if "AT" in os.environ:
    sys.meta_path.insert(0, Finder())
"""


@dataclasses.dataclass(frozen=True)
class Condition:
    """A line of bash, and what must come of it."""

    command: str  # `P` starts a program, `$MADE` is a folder with a run and its exports
    # A regular expression for the one sentence; `None` if the program must do its work,
    # an empty one if nobody can read a sentence.
    says: str | None = None
    leaves: tuple[str, ...] = ()  # patterns of the files that may be new afterwards
    status: int | None = None  # by default 0 or 1


def main():
    """Tries the conditions and prints what came of each."""
    chosen = {
        name: condition
        for name, condition in conditions()
        if re.search(_ONLY.value, name)
    }
    with tempfile.TemporaryDirectory() as place:
        needed = any("$MADE" in each.command for each in chosen.values())
        shell = Shell(Path(place), _MAKE if needed else "true")
        for name, condition in list(chosen.items()):
            if _MOUNT[:20] in condition.command and not shell.can_mount:
                del chosen[name]
        outside = {}
        for name, condition in chosen.items():
            start = time.perf_counter()
            words, faults = shell.judge(condition)
            if faults:
                outside[name] = faults
                words = f"OUTSIDE: {'; '.join(faults)}: {words}"
            print(f"{name:<46} {time.perf_counter() - start:5.1f} s  {words}")
    print(f"\n{counted(len(chosen), 'condition')}, {len(outside)} outside")
    sys.exit(1 if outside else 0)


class Shell:
    """Runs commands in new folders, and judges what came of them."""

    def __init__(self, place: Path, make: str):
        self._place, self._count = place, 0
        self._made = place / "made"
        self._made.mkdir()
        (place / "hooks").mkdir()
        (place / "hooks" / "sitecustomize.py").write_text(_HOOK)
        image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
        cv2.imwrite(str(self._made / "a.png"), image)
        done, _ = self._run(make, self._made)
        if done.returncode:
            raise RuntimeError(done.stderr)
        done, _ = self._run(_MOUNT.format(size="16k"), self._made)
        self.can_mount = done.returncode == 0
        self._before = _listing(self._made)

    def judge(self, condition: Condition) -> tuple[str, list[str]]:
        """Returns what a program said under a condition, and what is wrong."""
        self._count += 1
        work = self._place / f"work{self._count}"
        work.mkdir()
        done, found = self._run(condition.command, work)
        lines = [line for line in done.stderr.splitlines() if line not in _EXPECTED]
        words = " / ".join(lines)[-300:] or done.stdout.strip().split("\n")[0][:60]
        faults = list(_of_words(condition, done, lines))
        for path in found:
            if ".partial" in path or not any(
                fnmatch.fnmatch(path.split("/")[0], each) for each in condition.leaves
            ):
                faults.append(f"leaves {path!r}")
        if self._before != _listing(self._made):
            faults.append("what existed is lost or changed")
        left = {path.name for path in (self._place / "tmp").iterdir()}
        for name in left - {"__pycache__"}:  # of the code that TensorFlow generates
            faults.append(f"leaves {name!r} in TMPDIR")
        shutil.rmtree(work, ignore_errors=True)
        return f"{done.returncode}  {words}", faults

    def _run(self, command, folder):
        """Returns how a command ended, and the files that it left."""
        shutil.rmtree(self._place / "tmp", ignore_errors=True)
        (self._place / "tmp").mkdir()
        environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": f"{_HERE}:{self._place / 'hooks'}",
            "HOME": str(self._place),
            "LANG": "C.UTF-8",
            "MADE": str(self._made),
            "TMPDIR": str(self._place / "tmp"),
        }
        process = subprocess.Popen(
            ["bash", "-c", _P + command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
            start_new_session=True,
        )
        try:
            out, err = process.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            err += f"no end within {_PATIENCE} seconds"
        found = list(_listing(folder))
        if os.path.ismount(folder / "disk"):
            subprocess.run(["umount", str(folder / "disk")], check=True)
        return subprocess.CompletedProcess(command, process.returncode, out, err), found


def _of_words(condition, done, lines):
    """Yields what is wrong with a program's status and words."""
    works = condition.says is None
    status = (0 if works else 1) if condition.status is None else condition.status
    if done.returncode != status:
        yield f"status {done.returncode}, not {status}"
    if "Traceback" in done.stderr + done.stdout or "Exception ignored" in done.stderr:
        yield "a traceback"
    elif works or not condition.says:
        if lines:
            yield "says something"
    elif len(lines) != 1 or not re.search(condition.says, lines[0]):
        yield "not the one sentence"
    elif not lines[0].startswith(("error: ", "interrupted ")):
        yield "no sentence"


def _listing(folder):
    """Returns the hash of each file below a folder, by path."""
    return {
        path.relative_to(folder).as_posix(): path.is_file()
        and hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.name != "disk"
    }


def conditions() -> Iterator[tuple[str, Condition]]:
    """Yields all conditions by name."""
    for program in ("", *programs()):
        module = f"binaries.{program}".rstrip(".")
        for name, (around, says) in STARTS.items():
            line = around.format(help=f"python -P -m {module} --help")
            yield f"{module} --help, {name}", Condition(line, says)
    for name, (command, says) in WRONG_FLAGS.items():
        yield f"flag: {name}", Condition(f"P {command}", says)
    for program, flag in PATHS.items():
        for name, command in WRONG_PATHS.items():
            line = f"{command[1]}P {program} {flag}{name}"
            leaves = (glob.escape(name.strip("'")),)
            yield f"{program} of {command[0]}", Condition(line, ".", leaves)
    for number, word in ((2, "INT"), (15, "TERM")):
        for moment in _MOMENTS:
            line = f"AT={moment} SIGNAL={number} P {_TRAIN} --workdir=run"
            yield (
                f"signal: {word} at the import of {moment}",
                Condition(line, f"interrupted SIG{word}", ("run*",), 128 + number),
            )
    yield from ((name, Condition(*rest)) for name, rest in WORK.items())


STARTS = {  # what any program must get over
    "nothing wrong": ("{help}", None),
    "stdout closed": ("{help} >&-", None),
    "stderr closed": ("{help} 2>&-", None),
    "all closed": ("{help} <&- >&- 2>&-", None),
    "stdout full": ("{help} >/dev/full", "standard output"),
    "stdout and stderr full": ("{help} >/dev/full 2>&1", ""),
    "| head -1": ("set -o pipefail; {help} | head -1", None),
    "ASCII terminal": ("PYTHONIOENCODING=ascii {help}", None),
    "LANG=C": ("LC_ALL=C PYTHONCOERCECLOCALE=0 PYTHONUTF8=0 {help}", None),
    "no environment": ('env -i PATH="$PATH" PYTHONPATH="$PYTHONPATH" {help}', None),
}

WRONG_FLAGS = {
    "unknown": ("train --epoch=3", "epoch"),
    "out of range": ("train --prune=1.5", "prune=1.5"),
    "no number": ("train --epochs=many", "epochs"),
    "a choice that there is not": ("train --model=conv7", "conv7"),
    "two that contradict": ("train --init=glorot_normal --num_patches=5", "patches=5"),
    "--noresume=true": ("train --noresume=true", "noresume"),
    "an argument": ("train conv6", "conv6"),
    "a flag file that there is not": ("train --flagfile=none", "none"),
    "not UTF-8": (r"train --workdir=$'a\xff'", "Flags must be text that"),
    "a newline": (r"train --workdir=$'a\nb'", "Flags must be text that"),
    "a pattern": ("train --workdir='runs/lr=[0.1]'", r"without \* \? \["),
    "another pattern": ("train --workdir='runs/*'", r"without \* \? \["),
    "a backslash": (r"train --workdir='runs\a'", r"without \* \? \["),
    "export to a pattern": ("export --path=$MADE/run --output='m[1]'", "without"),
    "export to no format": ("export --path=$MADE/run --output=m.pt", r"m\.pt"),
    "export in no precision": (
        "export --path=$MADE/run --output=m --precision=int4",
        "int4",
    ),
    "predict nothing": ("predict --path=$MADE/run", "at least one image"),
    "evaluate nothing": ("evaluate", "path"),
    "report nothing": ("report", "at least one run"),
    "a zoo's ticket that there is not": ("evaluate --path=zoo:conv9", "conv9"),
    "hosts": ("tf_config --index=0", "hosts"),
    "index": ("tf_config --hosts=a,b --index=2", "index=2"),
    "table": ("reproduce --table=9.9", "9.9"),
    "shard": ("reproduce --table=8.3 --shard=4/4", "index"),
}

PATHS = {
    "evaluate": "--path=",
    "export": "--output=m --path=",
    "predict": "$MADE/a.png --path=",
    "report": "",
}

WRONG_PATHS = {
    "none": ("nothing", ""),
    "'m[1]'": ("a pattern", "cp -r $MADE/run/saved_model 'm[1]'; "),
    "empty": ("an empty folder", "mkdir empty; "),
    "text": ("a text", "echo text > text; "),
    "m.keras": ("half a .keras file", "head -c 5000 $MADE/m.keras > m.keras; "),
    "m.ticket": ("half a ticket", "head -c 5000 $MADE/m.ticket > m.ticket; "),
    "cut": ("a run without checkpoint", "mkdir cut; cp $MADE/run/*.* cut; "),
    "/dev/null": ("a device", ""),
}

WORK = {
    "train, nothing wrong": (f"P {_TRAIN} --workdir=run", None, ("run",)),
    "train into odd names": (f"P {_TRAIN} --workdir='rün (1) {{a}}'", None, ("rün*",)),
    "train with stdout closed": (f"P {_TRAIN} --workdir=run >&-", None, ("run",)),
    "train with all closed": (
        f"P {_TRAIN} --workdir=run <&- >&- 2>&-; test -e run/summary.json",
        None,
        ("run",),
    ),
    "train | head -1": (
        f"set -o pipefail; P {_TRAIN} --workdir=run | head -1; s=$?; "
        "test -e run/summary.json && exit $s",
        None,
        ("run",),
    ),
    "train with stderr full": (f"P {_TRAIN} --workdir=run 2>/dev/full", None, ("run",)),
    "train with stdout full": (
        f"P {_TRAIN} --workdir=run >/dev/full",
        "standard output",
        ("run",),
    ),
    "train without environment": (
        'env -i PATH="$PATH" PYTHONPATH="$PYTHONPATH" python -P -m binaries.'
        f"{_TRAIN} --workdir=run",
        None,
        ("run",),
    ),
    "train on an ASCII terminal": (
        f"LC_ALL=C PYTHONIOENCODING=ascii P {_TRAIN} --workdir=rün",
        None,
        ("rün",),
    ),
    "train without TMPDIR": (
        f"TMPDIR=/none HOME=/none P {_TRAIN} --workdir=run",
        None,
        ("run",),
    ),
    "train into a file": (
        f"echo text > run; P {_TRAIN} --workdir=run",
        "can be written to",
        ("run",),
    ),
    "train below a file": (
        f"echo text > run; P {_TRAIN} --workdir=run/run",
        "can be written to",
        ("run",),
    ),
    "train where something else is": (
        f"mkdir run; echo text > run/text; P {_TRAIN} --workdir=run",
        "new or empty folder",
        ("run",),
    ),
    "train again after a refusal": (
        f"P train --workdir=run --num_patches=9 2>refused; P {_TRAIN} --workdir=run",
        None,
        ("run", "refused"),
    ),
    "train on a read-only disk": (
        _MOUNT.format(size="64k,ro") + f"P {_TRAIN} --workdir=disk/run",
        "can be written to",
        ("disk",),
    ),
    "train on a full disk": (
        _MOUNT.format(size="64k") + f"P {_TRAIN} --workdir=disk/run",
        "No space left on device",
        ("disk*",),
    ),
    "the disk fills before the results": (
        _MOUNT.format(size="64m")
        + "cp -r $MADE/run disk; rm -r disk/run/saved_model; "
        + _FILL
        + f"P {_TRAIN} --workdir=disk/run",
        "No space left on device",
        ("disk*", "filling"),
    ),
    "no file may be large": (
        f"ulimit -f 100; P {_TRAIN} --workdir=run",
        "File too large",
        ("run*",),
    ),
    "train on a folder that is a file": (
        "P train --dataset=folder --data_dir=$MADE/a.png --workdir=run",
        "a.png",
    ),
    "train on an empty folder": (
        "mkdir a; P train --dataset=folder --data_dir=a --workdir=run",
        "class|image",
        ("a",),
    ),
    "train on no folder": (
        "P train --dataset=folder --data_dir=none --workdir=run",
        "none",
    ),
    "mask from a text": (
        "echo text > t; P train --method=fixed --mask_from=t --workdir=run",
        ".",
        ("run", "t"),
    ),
    "signal: INT in training": (
        f"python -P -m binaries.{_TRAIN} --epochs=500 --workdir=run & "
        "until [ -e run/checkpoints/epoch_00001.npz ]; do sleep 0.1; done; "
        "kill -INT $!; wait $!",
        "interrupted SIGINT",
        ("run",),
        130,
    ),
    "signal: TERM in an export": (
        "python -P -m binaries.export --path=$MADE/run --output=model & "
        "until [ -e model.partial ]; do sleep 0.01; done; kill $!; wait $!",
        "interrupted SIGTERM",
        (),
        143,
    ),
    "evaluate >/dev/full": (
        "P evaluate --path=$MADE/run >/dev/full",
        "standard output",
    ),
    "evaluate with stderr closed": ("P evaluate --path=$MADE/run 2>&-", None),
    "predict odd names": (
        r"cp $MADE/a.png $'ä \n[1]'; P predict --path=$MADE/run $'ä \n[1]'",
        None,
        ("ä*",),
    ),
    "predict what is not UTF-8": (
        r"cp $MADE/a.png $'\xff.png'; P predict --path=$MADE/run $'\xff.png'",
        None,
        ("*",),
    ),
    "predict a text": (
        "echo a > a.png; P predict --path=$MADE/run a.png",
        "a.png",
        ("a.png",),
    ),
    "predict | head -1": (
        "set -o pipefail; P predict --path=$MADE/run $MADE/a.png $MADE/a.png | head -1",
        None,
    ),
    "report into a folder": (
        "mkdir a; P report $MADE/run --output=a",
        "must be a file",
        ("a",),
    ),
    "report on a full disk": (
        _MOUNT.format(size="8k") + "P report $MADE/run --output=disk/a.html",
        "No space left on device",
        ("disk",),
    ),
    "report of two": ("P report $MADE/run $MADE/run", None, ("report.html",)),
    "reproduce --list | head -1": (
        "set -o pipefail; P reproduce --list | head -1",
        None,
    ),
    "reproduce --list >/dev/full": ("P reproduce --list >/dev/full", "standard output"),
    "reproduce into a file": (
        "echo a > a; P reproduce --figure=4.2 --datasets=digits --output=a",
        "'a",
        ("a",),
    ),
    "no program": ("python -P -m binaries trian", "trian"),
    "tf_config 2>&-": ("P tf_config --hosts=a --index=0 2>&-", None),
    "tf_config >/dev/full": (
        "P tf_config --hosts=a --index=0 >/dev/full",
        "standard output",
    ),
} | {
    f"export {name} {where}": (
        f"{before}P export --path=$MADE/run --output={folder}/{name}",
        says,
        leaves,
    )
    for name in ("model", "m.keras", "m.tflite", "m.ticket")
    for where, before, folder, says, leaves in (
        (
            "on a full disk",
            _MOUNT.format(size="4k"),
            "disk",
            "No space left",
            ("disk",),
        ),
        (
            "on a read-only disk",
            _MOUNT.format(size="16k,ro"),
            "disk",
            "Read-only file",
            ("disk",),
        ),
        ("below a file", "echo a > a; ", "a", "'a", ("a",)),
        ("into odd names", "", r"'ä (1)'", None, ("ä*",)),
    )
}


if __name__ == "__main__":
    _program.start(main)
