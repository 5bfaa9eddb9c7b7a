"""What happens with hostile inputs: bombs, lies, links, code.

    python -m trials.hostile --output=hostile.json
    python -m trials.hostile --markdown=docs/hostile_input.md
    python -m trials.hostile --quick

Each of the inputs in tests/hostile is given to the library or to a program, as a person
would do who got it from a stranger. It must be refused in one clear sentence, or work
by a documented rule, within a second and 64 MB of memory beyond a started program. No
code in it may run, and no existing file may be lost. The program ends with status 1 if
an input falls outside these limits.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from absl import flags
from matplotlib.figure import Figure

from benchmarks import _markdown, _measure
from binaries import _program
from tests.hostile.inputs import GROUPS

_MARKDOWN = flags.DEFINE_string("markdown", None, "File to write the page to.")

MAX_SECONDS = 1.0
_MAX_MB = 64
MAX_BYTES = _MAX_MB << 20
_PATIENCE = 10  # seconds to wait for an input
_START = 300
_QUICK = 5  # with --quick, one of five inputs
_HEADS = ("input", "what happens", "s", "MB")
_HERE = Path(__file__).resolve().parents[1]


def main():
    """Tries all inputs and prints the result of each."""
    print(_measure.describe(), flush=True)
    names = [name for inputs in GROUPS.values() for name in inputs]
    names = names[:: _QUICK if _measure.QUICK.value else 1]
    results = try_all(names)
    rows = [
        [
            cell(name),
            cell(outcome(name, results[name])),
            f"{results[name]['seconds']:.2f}",
            f"{results[name]['bytes'] / 2**20:.0f}",
        ]
        for name in names
    ]
    _measure.print_table(_HEADS, rows)
    bad = {name: found for name in names if (found := faults(results[name]))}
    print("\n" + counts(results))
    for name, found in bad.items():
        print(f"outside: {name}: {', '.join(found)}")
    if _MARKDOWN.value:
        Path(_MARKDOWN.value).write_text(page(results))
    _measure.save({"inputs": results}, draw(results))
    sys.exit(1 if bad else 0)


def try_all(names):
    """Returns the result of each input by name; starts another worker if one dies."""
    results, left = {}, list(names)
    while left:
        for name, result in _work(left):
            results[name] = result
        left = [name for name in names if name not in results]
    return results


def _work(names):
    """Yields names and results of inputs until one does not answer."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "names.json")
        path.write_text(json.dumps(names))
        worker = subprocess.Popen(
            [sys.executable, "-m", "tests.hostile.worker", str(path)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(_HERE), "TMPDIR": folder},
            stdout=subprocess.PIPE,
            text=True,
        )
        lines = queue.Queue()
        threading.Thread(target=_read, args=(worker, lines), daemon=True).start()
        try:
            yield from _answers(lines)
        finally:
            worker.kill()
            worker.wait()


def _read(worker, lines):
    for line in worker.stdout:
        lines.put(json.loads(line))
    lines.put(None)


def _answers(lines):
    if lines.get(timeout=_START) is None:
        raise RuntimeError("the worker did not start")
    while (asked := lines.get(timeout=_START)) is not None:
        name = asked["name"]
        try:
            answer = lines.get(timeout=_PATIENCE)
        except queue.Empty:
            yield name, _no_answer(f"no answer within {_PATIENCE} seconds")
            return
        yield name, answer or _no_answer("the program was killed")
        if answer is None:
            return


def _no_answer(words):
    silent = {"refused": False, "words": words, "faults": [words], "warned": []}
    return silent | {"seconds": float(_PATIENCE), "bytes": 0}


def faults(result):
    """Returns what was wrong, a phrase each."""
    found = list(result["faults"])
    if result["seconds"] > MAX_SECONDS:
        found.append(f"{result['seconds']:.1f} seconds")
    if result["bytes"] > MAX_BYTES:
        found.append(f"{result['bytes'] >> 20} MB")
    return found


def outcome(name, result):
    """Returns the result in words."""
    given = next(inputs[name] for inputs in GROUPS.values() if name in inputs)
    found = [text for text in faults(result) if text not in result["words"]]
    wrong = f"**{', '.join(found)}** " if found else ""
    words = result["words"][:300] or given.rule or "taken"
    went = "works: " if not result["words"] else ""
    return f"{wrong}{'refused: ' if result['refused'] else went}{words}"


def cell(text):
    """Returns text that can stand in a cell of a Markdown table."""
    text = text.encode("utf-8", "backslashreplace").decode()
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return text.replace("|", "\\|").replace("<", "&lt;")


def counts(results):
    """Returns how many inputs were refused, worked, and fell outside."""
    bad = sum(bool(faults(result)) for result in results.values())
    refused = sum(r["refused"] and not faults(r) for r in results.values())
    return (
        f"{len(results)} inputs: {refused} refused in one sentence, "
        f"{len(results) - refused - bad} work by a rule, {bad} outside the limits"
    )


def page(results):
    """Returns a page: how many of each group were refused, and what works by a rule."""
    groups, works = [], []
    for group, inputs in GROUPS.items():
        found = {name: results[name] for name in inputs if name in results}
        refused = sum(r["refused"] and not faults(r) for r in found.values())
        groups.append((group, str(len(found)), str(refused)))
        works += [
            (cell(name), cell(outcome(name, result)).removeprefix("works: "))
            for name, result in found.items()
            if faults(result) or not result["refused"]
        ]
    numbers = _markdown.table(["kind", "inputs", "refused"], groups)
    rules = _markdown.table(["input", "rule"], works, texts=2)
    return f"{_PAGE}{counts(results)}.\n\n{numbers}\n{_RULES}{rules}\n"


# Above the numbers, and above the table of rules.
_PAGE = f"""\
# Hostile input

What the library and the programs do with inputs that want to do harm: each is refused
in one sentence, or works by a rule, within {MAX_SECONDS:.0f} s and {_MAX_MB} MB beyond
a started program. `python -m trials.hostile` tries them all anew, prints each with its
sentence, and ends with status 1 if one falls outside; `tests/hostile` holds them. Only
images of many pixels may take more, one at a time: 1.2 GB for 2²⁷
([images.md](images.md)).

Tickets, checkpoints, run folders, images and `.keras` files are data: nothing in them
is run. **A SavedModel is a program**, as TensorFlow's own documents say: it can read
and write files when it is loaded or called. `.onnx` and `.tflite` files are run by the
native code of their runtimes. Load these from people you trust.

"""
_RULES = """
## What works, and by which rule

"""


def draw(results):
    """Returns a picture of seconds against megabytes, an input a point."""
    figure = Figure(figsize=(7, 4.5))
    axes = figure.subplots()
    seconds = [max(r["seconds"], 1e-4) for r in results.values()]
    megabytes = [max(r["bytes"], 2**16) / 2**20 for r in results.values()]
    axes.loglog(seconds, megabytes, ".")
    axes.axvline(MAX_SECONDS, color="grey")
    axes.axhline(MAX_BYTES / 2**20, color="grey")
    axes.set(xlabel="seconds", ylabel="MB beyond the start")
    return figure


if __name__ == "__main__":
    _program.start(main)
