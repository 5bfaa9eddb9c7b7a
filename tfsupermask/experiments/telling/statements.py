"""Sentences about an experiment's numbers and its runs."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections import Counter
from collections.abc import Iterator

from tfsupermask._text import counted, duration, short_commit, signed
from tfsupermask.experiments.catalogue.experiment import THESIS_EPOCHS
from tfsupermask.experiments.catalogue.thesis import TITLES
from tfsupermask.experiments.running.outcomes import Measure, Outcome
from tfsupermask.experiments.telling.collecting import Results
from tfsupermask.experiments.telling.statistics import CONFIDENCE, compare, fit

_INTERVAL = f"{100 * CONFIDENCE:.0f} % interval"
CAUTION = (
    f"A row is said to be better or worse where the {_INTERVAL} (paired t, over seeds) "
    "leaves out 0. Without any difference that would be said in 1 of 100 comparisons "
    "if the differences are normal, in up to 5 if they are exponential or bounded, and "
    "in more where runs of one row sometimes fail: few seeds may not show it."
)


@dataclasses.dataclass(frozen=True)
class Statements:
    """The sentences below a table, and the runs that are missing or failed."""

    reading: str  # which reading of the pruning rate is nearer to the thesis
    overall: tuple[str, ...]  # each row against the first, over a measure's columns
    by_column: tuple[str, ...]
    background: tuple[str, ...]
    missing: tuple[str, ...]
    failed: dict[str, str]

    @property
    def caution(self) -> str:
        """A warning about the intervals, empty if there are none."""
        compared = (*self.overall, *self.by_column)
        return CAUTION if any(_INTERVAL in text for text in compared) else ""

    @property
    def all(self) -> tuple[str, ...]:
        """All sentences, in order."""
        texts = (
            self.reading,
            *self.overall,
            *self.by_column,
            self.caution,
            *self.background,
            *(f"Missing: {name}." for name in self.missing),
            *(f"Failed: {name}: {why}" for name, why in self.failed.items()),
        )
        return tuple(text for text in texts if text)


def statements_of(results: Results) -> Statements:
    """Returns the sentences about an experiment's results."""
    overall, by_column = _comparisons(results)
    return Statements(
        _reading(results),
        tuple(overall),
        tuple(by_column),
        tuple(_background(results)),
        results.missing,
        results.failed,
    )


def _reading(results):
    distances = fit((c.cell.published, c.removed, c.kept) for c in results.cells)
    if distances is None:
        return ""
    removed, kept, cells = distances
    nearer = "Neither fits better"
    if f"{removed:.1f}" != f"{kept:.1f}":
        name = "removed" if removed < kept else "kept"
        nearer = f"Read as the fraction {name} they fit better"
    epochs = ""
    if results.epochs != THESIS_EPOCHS:
        epochs = f" (ours after {results.epochs} epochs, the thesis's after "
        epochs += f"{THESIS_EPOCHS})"
    return (
        f"Pruning rates read as the fraction removed, the mean absolute difference to "
        f"the thesis is {removed:.1f} points; read as the fraction kept, {kept:.1f} "
        f"points ({counted(cells, 'cell')} that both readings have). "
        f"{nearer}{epochs}."
    )


def _comparisons(results):
    """Returns the sentences over all columns of a measure, and those by column."""
    overall, by_column = [], []
    for panel, cells in results.panels.items():
        first, *others = dict.fromkeys(row for row, _ in cells)
        for measure, heads in _columns_by_measure(cells).items():
            everywhere = f"{panel}, all columns" if panel else "all columns"
            for row in others:
                pairs = {
                    head: (cells[row, column].removed, cells[first, column].removed)
                    for column, head in heads.items()
                }
                say = functools.partial(_say, row, first, measure)
                if len(pairs) > 1:
                    overall += say(everywhere, list(pairs.values()))
                said = by_column if len(pairs) > 1 else overall
                for head, pair in pairs.items():
                    where = head if head.startswith(panel) else f"{panel}, {head}"
                    said += say(where, [pair])
    return overall, by_column


def _columns_by_measure(cells):
    """Returns the heads by column, for each measure that can be better or worse."""
    heads = {}
    for (_, column), cell in cells.items():
        if cell.measure.higher_is_better is not None:
            heads.setdefault(cell.measure, {}).setdefault(column, cell.head)
    return heads


def _say(row, first, measure: Measure, where, columns):
    """Returns a list with a sentence about two rows, empty if they share no seed."""
    paired = compare(columns)
    if paired is None:
        return []
    seeds = len(paired.by_seed)
    pairs = f"{counted(seeds, 'pair')} of the same seed"
    if len(columns) > 1:
        few = f"{paired.columns} of " if paired.columns < len(columns) else ""
        pairs += f", each over {few}{len(columns)} columns"
    unit = "points" if measure.label.endswith("%") else measure.label.split()[0]
    size = f"{abs(paired.difference):.1f} {unit}"
    everywhere = f" in all {seeds} seeds" if seeds > 1 and paired.unanimous else ""
    basis = (
        "no spread between the seeds" if seeds > 1 else "one seed"
    ) + ": no interval"
    if paired.shown:
        low, high = sorted(map(abs, paired.interval))
        # As many digits as it takes to see that 0 is left out.
        digits = 1 if low >= 0.05 else math.ceil(-math.log10(low))
        basis = f"{_INTERVAL} {low:.{digits}f} to {high:.{digits}f}"
        size = f"{abs(paired.difference):.{digits}f} {unit}"
        said = _judged(row, first, measure, paired.difference > 0, size)
    elif paired.interval is None and any(paired.by_seed):
        word = "above" if paired.difference > 0 else "below"
        said = f"{row} is {size} {word} {first}{everywhere}"
    else:
        if paired.interval is not None:
            basis = "{} {} to {}".format(_INTERVAL, *map(signed, paired.interval))
        difference = f"{signed(paired.difference)} {unit}"
        said = f"no difference shown between {row} and {first}: {difference}"
        word = "more" if paired.difference > 0 else "less"
        said += f", {word}{everywhere}" if everywhere else ""
    return [f"{where}: {said} ({basis}; {pairs})."]


def _judged(row, first, measure, more, size):
    """Returns which of two rows is better, where the interval shows it."""
    if measure.higher_is_better:
        return f"{row} {'beats' if more else 'falls short of'} {first} by {size}"
    better, comparative = ("worse", "more") if more else ("better", "less")
    return f"{row} is {better} than {first}: {size} {comparative}"


def _background(results: Results) -> Iterator[str]:
    """Yields sentences about the runs: number, time, machines, images, restrictions."""
    if results.num_jobs:
        done = f"Runs: {results.num_done} of {results.num_jobs} done"
        seconds = spent_seconds(results.runs)
        yield f"{done}, {duration(seconds)} in all." if seconds else f"{done}."
    yield from machine_sentences(results.runs)
    if results.cells and not results.sizes_vary:
        yield _size(results)
    if results.cells and results.scope.restrictions:
        yield f"Restrictions: {'; '.join(results.scope.restrictions)}."
    if results.dataset != results.thesis_dataset:
        yield (
            f"Run on {TITLES[results.dataset]} instead of "
            f"{TITLES[results.thesis_dataset]}: no published numbers apply."
        )
    if results.fewer_images:
        fewer = results.fewer_images
        yield f"Not the published dataset, or not the whole of it: {fewer}."
    if results.experiment.note:
        yield results.experiment.note
    yield f"Source: {results.experiment.source}."


def _size(results):
    images = f"{results.num_images:,} images of {TITLES[results.dataset]}"
    if not any(cell.measure.trained for cell in results.cells):
        return f"Initialised only, from {images}."
    return f"{counted(results.epochs, 'epoch')} of {images} each."


def spent_seconds(runs: dict[str, Outcome]) -> float:
    """Returns the seconds that runs spent on initialising and training."""
    return sum(
        outcome.summary.get(name) or 0.0
        for outcome in runs.values()
        for name in ("init_seconds", "train_seconds")
    )


def machine_sentences(runs: dict[str, Outcome]) -> Iterator[str]:
    """Yields for each machine and program a sentence with the number of its runs."""
    machines = Counter(_machine(outcome.summary) for outcome in runs.values())
    for machine, count in sorted(machines.items()):
        yield f"Machine of {counted(count, 'run')}: {machine}."


def _machine(summary):
    machine = summary.get("machine")
    where = "machine not recorded"
    if machine:
        where = f"{machine['processor']}, {counted(machine['cores'], 'core')}"
    made_by = {
        "commit": short_commit(summary.get("commit") or ""),
        "precision": summary.get("precision"),
        **(summary.get("versions") or {}),
    }
    names = ", ".join(f"{name} {text}" for name, text in made_by.items() if text)
    return f"{where}; {names}" if names else where
