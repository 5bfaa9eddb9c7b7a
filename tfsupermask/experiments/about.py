"""What was run, on what, and how far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tfsupermask.experiments.measures import Outcome
from tfsupermask.experiments.results import Results
from tfsupermask.experiments.thesis import TITLES
from tfsupermask.report.formats import duration


def about(results: Results) -> Iterator[str]:
    """Yields sentences on what was run, on what, and how far.

    Example:
        >>> from pathlib import Path
        >>> from tfsupermask.experiments.results import collect
        >>> folder = StudyFolder(Path("reproduction"))
        >>> list(about(collect(find("table", "8.3"), Study(), folder)))
        ['Runs: 0 of 30 done.', '100 epochs of 50,000 images of CIFAR-10 each.',
         'Source: thesis Table 8.3.']
    """
    if results.num_jobs:
        done = f"Runs: {results.num_done} of {results.num_jobs} done"
        seconds = total_seconds(results.runs)
        yield f"{done}, {duration(seconds)} in all." if seconds else f"{done}."
    for machine, count in sorted(machines(results.runs).items()):
        yield f"Machine of {count} run{'s' if count > 1 else ''}: {machine}."
    if results.cells:
        yield _size(results)
    if results.cells and results.study.restrictions:
        yield f"Restrictions: {'; '.join(results.study.restrictions)}."
    if results.dataset != results.thesis_dataset:
        yield (
            f"Run on {TITLES[results.dataset]} instead of the thesis's "
            f"{TITLES[results.thesis_dataset]}; the thesis's numbers do not apply."
        )
    if results.num_images < results.num_images_asked_for:
        yield f"Not the published dataset, or not the whole of it: {_fewer(results)}."
    if results.experiment.note:
        yield results.experiment.note
    yield f"Source: {results.experiment.source}."


def shortcomings(results: Results) -> tuple[str, ...]:
    """Returns what makes results less than the thesis's, in a few words each.

    Example:
        >>> from pathlib import Path
        >>> from tfsupermask.experiments.results import collect
        >>> folder = StudyFolder(Path("reproduction"))
        >>> shortcomings(collect(find("table", "8.3"), Study(epochs=2), folder))
        ('2 epochs instead of 100', '30 of 30 runs not done')
    """
    told = list(results.study.restrictions) if results.cells else []
    if results.dataset != results.thesis_dataset:
        there, here = TITLES[results.thesis_dataset], TITLES[results.dataset]
        told.append(f"{here} instead of {there}")
    if results.num_images < results.num_images_asked_for:
        told.append(_fewer(results))
    left = results.num_jobs - results.num_done
    if left:
        told.append(f"{left} of {results.num_jobs} runs not done")
    return tuple(told)


def machines(runs: dict[str, Outcome]) -> Counter[str]:
    """Returns the machines and versions of runs, and how many runs each made.

    Example:
        >>> machines({"a": read_outcome("runs/my_run")}).total()
        1
    """
    return Counter(_machine(outcome.summary) for outcome in runs.values())


def total_seconds(runs: dict[str, Outcome]) -> float:
    """Returns the seconds of initialising and training.

    Example:
        >>> total_seconds({"a": read_outcome("runs/my_run")}) > 0
        True
    """
    return sum(
        outcome.summary.get(name) or 0.0
        for outcome in runs.values()
        for name in ("init_seconds", "train_seconds")
    )


def _size(results):
    images = f"{results.num_images:,} images of {TITLES[results.dataset]}"
    if not any(cell.measure.trained for cell in results.cells):
        return f"Initialised only, from {images}."
    epochs = results.config_of(results.cells[0].cell).epochs
    return f"{epochs} epoch{'s' if epochs > 1 else ''} of {images} each."


def _fewer(results):
    there, name = results.num_images_asked_for, TITLES[results.dataset]
    return f"{results.num_images:,} training images instead of {name}'s {there:,}"


def _machine(summary):
    machine, versions = summary.get("machine"), summary.get("versions") or {}
    where = "machine not recorded"
    if machine:
        cores = f"{machine['cores']} core{'s' if machine['cores'] > 1 else ''}"
        where = f"{machine['processor']}, {cores}"
    return "; ".join(
        [where, ", ".join(f"{name} {text}" for name, text in versions.items())]
    ).strip("; ")
