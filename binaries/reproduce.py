"""Repeats tables and figures of the thesis: makes their runs, and draws them.

    python -m binaries.reproduce --list
    python -m binaries.reproduce --table=8.3 --figure=5.2,5.3
    python -m binaries.reproduce --all --dry_run

A smaller reproduction, with a note about it on every table:

    python -m binaries.reproduce --study=inits --epochs=2 --seeds=1 --limit_images=10000

A run that several tables need is made once. The same command again goes on where the
last one stopped, tries failed runs again, and writes the tables again. Several machines
with one --output can share the runs: --shard=0/4 to --shard=3/4.
"""

from __future__ import annotations

import sys
from pathlib import Path

from absl import flags

from binaries import _program
from tfsupermask import InputError, experiments
from tfsupermask._files import check_no_pattern
from tfsupermask._text import NONE, aligned, counted, duration
from tfsupermask.experiments.running.planning import MACHINE

_LIST = flags.DEFINE_boolean("list", False, "Name all tables, figures and studies.")
_CHOSEN = {
    kind: flags.DEFINE_list(kind, [], text)
    for kind, text in (
        ("table", "Tables of the thesis, such as 8.3 or 5.3,5.4."),
        ("figure", "Figures of the thesis, such as 5.2."),
        ("study", "Studies that have no number, see --list."),
    )
}
_ALL = flags.DEFINE_boolean("all", False, "All of them.")
_DRY_RUN = flags.DEFINE_boolean("dry_run", False, "List the runs, and run none.")
_EPOCHS = flags.DEFINE_integer(
    "epochs",
    None,
    "Length of every schedule in epochs (default: 100, the thesis's); studies of few "
    "images keep their own.",
)
_SEEDS = flags.DEFINE_integer(
    "seeds", experiments.DEFAULT_SEEDS, "Number of seeds: 0, 1, and so on."
)
_DATASETS = flags.DEFINE_list(
    "datasets",
    [],
    "Datasets to use; experiments with other datasets run on the first of them "
    f"(default: as in the thesis). From {', '.join(experiments.NUM_IMAGES)}.",
)
_LIMIT_IMAGES = flags.DEFINE_integer(
    "limit_images",
    None,
    "Train on this number of images only (default: all); likewise.",
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Folder of all datasets (default: ~/tensorflow_datasets)."
)
_OUTPUT = flags.DEFINE_string(
    "output", "reproduction", "Folder of the runs, tables and figures."
)
_MIXED_PRECISION = flags.DEFINE_boolean(
    "mixed_precision", False, "Compute in bfloat16; scores stay float32."
)
_PROCESSES = flags.DEFINE_integer(
    "processes",
    None,
    "Number of runs at a time, each on its GPU or its share of the cores (default: the "
    "number of GPUs, or 1 without any).",
)
_SHARD = flags.DEFINE_string(
    "shard",
    "0/1",
    "i/n: run only the i-th of n parts, i from 0 to n - 1, and leave the others to "
    "other machines.",
)


def main():
    """Lists, plans, or runs and writes."""
    scope = experiments.Scope(
        _SEEDS.value,
        _EPOCHS.value,
        _LIMIT_IMAGES.value,
        tuple(_DATASETS.value),
        _DATA_DIR.value,
        _MIXED_PRECISION.value,
    )
    if _LIST.value:
        _list(scope)
        return
    chosen = _chosen(scope)
    _program.require(
        chosen, "Name what to run with --table, --figure or --study; --list shows all."
    )
    jobs = experiments.plan(chosen, scope)
    mine = experiments.shard(jobs, *_parse_shard(_SHARD.value))
    if _DRY_RUN.value:
        _print_jobs(mine)
        return
    folder = experiments.OutputFolder(Path(check_no_pattern("output", _OUTPUT.value)))
    _program.load_tensorflow()
    experiments.run_planned(mine, folder, _PROCESSES.value)
    print(experiments.write_all(chosen, scope, folder))
    if failed := folder.failed(mine):
        raise InputError(
            f"{len(failed)} of {len(mine)} runs failed: {', '.join(failed)}. Why is in "
            f"{folder.failures}."
        )


def _chosen(scope):
    if not _ALL.value:
        return [
            experiments.find(kind, name)
            for kind, flag in _CHOSEN.items()
            for name in dict.fromkeys(flag.value)
        ]
    chosen = []
    for experiment in experiments.EXPERIMENTS:
        _, why_not = _plan(experiment, scope)
        if why_not:
            print(f"{experiment.label} is left out: {why_not}", file=sys.stderr)
        else:
            chosen.append(experiment)
    return chosen


def _plan(experiment, scope):
    """Returns an experiment's runs, or why not: it needs more images than there are."""
    try:
        return experiments.plan([experiment], scope), None
    except InputError as error:
        return (), error


def _parse_shard(text):
    index, slash, count = text.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal()):
        raise InputError(f"--shard must be i/n, such as 0/4. Received: {text}")
    return int(index), int(count)


def _list(scope):
    lines, possible = [("", "runs", "time", "")], []
    for experiment in experiments.EXPERIMENTS:
        jobs, why_not = _plan(experiment, scope)
        size = (NONE, NONE) if why_not else _size(jobs)
        lines.append((experiment.label, *size, experiment.title))
        possible += [] if why_not else [experiment]
    jobs = experiments.plan(possible, scope)
    lines.append(("all", *_size(jobs), "Each run once: tables share them"))
    print(aligned(lines, "<>><", (16, 5, 12)))
    print(f"Times are estimates for {MACHINE}.")


def _print_jobs(jobs):
    for job in jobs:
        epochs = counted(job.epochs, "epoch") if job.epochs else "initialised only"
        print(f"{job.name}  {epochs}, {duration(job.estimated_seconds)}")
    number, total = _size(jobs)
    print(f"{number} distinct runs, {total} one after another on {MACHINE}")


def _size(jobs):
    """Returns the number of runs and their time, one after another, as texts."""
    return str(len(jobs)), duration(sum(job.estimated_seconds for job in jobs))


if __name__ == "__main__":
    _program.start(main)
