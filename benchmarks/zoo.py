"""The zoo of trained tickets: adds runs, checks their accuracy, writes the tables.

    python -m benchmarks.zoo --add=runs/my_run --name=conv2_patches_s0
    python -m benchmarks.zoo --check --data_dir=…
    python -m benchmarks.zoo --table

`--add` takes a run that is over. It stores its ticket and its metrics, puts what it
reached and what made it into the index, and then does what `--table` does: it writes
the tables of README.md and docs/results.md and the picture of the curves anew. They
come from the files of the zoo alone.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import shlex
import shutil
from pathlib import Path

from binaries import _program, _tensorflow  # noqa: F401 before TensorFlow, silenced

# isort: split
import numpy as np
from absl import flags

from benchmarks import _zoo_tables as tables
from tfsupermask import train, zoo
from tfsupermask._text import counted
from tfsupermask._validation import InputError, fail
from tfsupermask.experiments.running.outcomes import read_outcome
from tfsupermask.runs import Config, RunFolder, resolve
from tfsupermask.runs.folder import read_description
from tfsupermask.tickets import save_ticket
from tfsupermask.zoo import index

_ADD = flags.DEFINE_string("add", None, "Folder of a run to add to the zoo.")
_NAME = flags.DEFINE_string(
    "name", None, "Name for the run to add, such as conv2_patches_s0."
)
_COMMIT = flags.DEFINE_string(
    "commit",
    None,
    "Commit that made the run to add, 40 digits (default: that of its summary.json).",
)
_CHECK = flags.DEFINE_boolean(
    "check", False, "Evaluate every ticket on the test images; fail if one differs."
)
_TABLE = flags.DEFINE_boolean("table", False, "Write the tables and the picture.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of the images for --check.")
_TOLERANCE = flags.DEFINE_float(
    "tolerance",
    0.0,
    "By how much an accuracy (0 to 1) may differ in --check: other processors may "
    "round bfloat16 otherwise.",
    0.0,
)

ROOT = Path(__file__).parents[1]
_EXACT = 1e-9  # accuracies are fractions of the test images


def add(path, name, commit=None):
    """Stores a run's ticket and metrics, and then puts it into the index."""
    if not re.fullmatch(r"[a-z0-9_]+", name):
        raise fail("`--name` must consist of a-z, 0-9 and _.", name=name)
    folder, outcome = RunFolder(Path(path)), read_outcome(path)
    if outcome is None or outcome.epoch < outcome.summary["epochs"]:
        raise fail("`--add` must be the folder of a run that is over.", add=path)
    commit = commit or outcome.summary.get("commit")
    if not re.fullmatch("[0-9a-f]{40}", commit or ""):
        raise fail(
            "`--commit` must be the 40 digits of the commit that made the run, without "
            "later changes.",
            commit=commit,
        )
    run = train.load_run(path)
    identity = run.config.identity()
    if run.config.validation_images is not None:
        raise fail(
            "`--add` must be a run that is evaluated on the test images every epoch.",
            validation_images=run.config.validation_images,
        )
    entries = {entry.name: entry for entry in zoo.entries()}
    if name in entries and entries[name].config != identity:
        raise fail("`--name` must not be that of another run.", name=name)
    images = {"class_names": run.class_names, "mean": run.mean, "std": run.std}
    ticket = index.FOLDER / f"{name}.ticket"
    save_ticket(run.model, ticket, recipe=identity, **images)
    known = {
        **outcome.summary,
        "name": name,
        "config": identity,
        "command": command_of(run.config, outcome.summary["train_images"]),
        "images_sha256": read_description(folder)["data"]["sha256"],
        "commit": commit,
        "precision": run.config.precision,
        "sha256": hashlib.sha256(ticket.read_bytes()).hexdigest(),
        "bytes": ticket.stat().st_size,
    }
    fields = [field.name for field in dataclasses.fields(zoo.Entry)]
    entries[name] = zoo.Entry(**{field: known[field] for field in fields})
    shutil.copyfile(folder.metrics, entries[name].metrics)
    index.write_index(entries.values())


def command_of(config, num_images):
    """Returns a command that repeats a run, without what its recipe fills in."""
    always = {"model", "dataset", "init", "epochs", "seed"}
    defaults = {field.name: field.default for field in dataclasses.fields(Config)}
    given = {
        name: value
        for name, value in config.identity().items()
        if name in always or value != defaults[name]
    }
    for name in given.keys() - always:
        fewer = {key: value for key, value in given.items() if key != name}
        if resolve(Config(**fewer), num_images).identity() == config.identity():
            given = fewer
    arguments = [f"--{k}" if v is True else f"--{k}={v}" for k, v in given.items()]
    return " ".join(["python -m binaries.train", *map(shlex.quote, arguments)])


def check(entries, data_dir, tolerance):
    """Evaluates tickets; prints a line for each, and returns the names that differ."""
    differ = []
    for entry in entries:
        said, same = evaluate(entry, data_dir, tolerance)
        print(f"{entry.name}: {said}", flush=True)
        if not same:
            differ.append(entry.name)
    return differ


def evaluate(entry, data_dir, tolerance):
    """Returns what a ticket reaches, and whether the index says the same."""
    dataset = train.load_images(Config.from_saved(entry.config), data_dir)
    try:
        found = train.evaluate_path(entry.check_ticket(), dataset).means("test_")
    except InputError as error:
        return str(error), False
    names = "test_top1", "test_top5"
    here, there = ([each[name] for name in names] for each in (found, vars(entry)))
    same = np.allclose(here, there, rtol=0, atol=tolerance + _EXACT)
    said = f"top-1 {here[0]:.4f}, top-5 {here[1]:.4f}"
    if not same:
        said += f"; in the index top-1 {there[0]:.4f}, top-5 {there[1]:.4f}"
    if dataset.sha256 != entry.images_sha256:
        said += "; these are not the images of the run"
    return said, same


def main():
    """Adds a run, checks the tickets, or writes the tables."""
    _program.require(
        bool(_ADD.value) + _CHECK.value + _TABLE.value == 1,
        "Give one of --add, --check and --table.",
    )
    _program.require(
        bool(_ADD.value) == bool(_NAME.value), "--add and --name belong together."
    )
    if _CHECK.value:
        entries = zoo.entries()
        differ = check(entries, _DATA_DIR.value, _TOLERANCE.value)
        if differ:
            raise InputError(
                f"Every ticket must have the accuracy of the index; {len(differ)} of "
                f"{counted(len(entries), 'ticket')} has not: {', '.join(differ)}."
            )
        return
    if _ADD.value:
        add(_ADD.value, _NAME.value, _COMMIT.value)
    entries = zoo.entries()
    tables.write_tables(entries, ROOT)
    print(f"{tables.long_block(entries)}\n\n{tables.short_block(entries)}")


if __name__ == "__main__":
    _program.start(main)
