"""What an experiment's numbers say, in sentences."""

from __future__ import annotations

import dataclasses
import functools

from tfsupermask.experiments.about import about
from tfsupermask.experiments.experiment import THESIS_EPOCHS
from tfsupermask.experiments.measures import Measure
from tfsupermask.experiments.results import Results
from tfsupermask.experiments.statistics import compare, fit

_INTERVAL = "95 % interval"
CAUTION = (
    "The intervals resample the few seeds there are and are too narrow: with three "
    "seeds a 95 % interval holds the true difference about three times in four."
)


@dataclasses.dataclass(frozen=True)
class Statements:
    """What is said below a table.

    Attributes:
        reading: Which reading of the pruning rate is nearer to the thesis, if any is.
        overall: Every row against the first, over all columns of a measure.
        by_column: The same for each column.
        about: What was run, and what the study leaves out.
        missing: Names of the runs that are not there yet.
        failed: Why runs failed, by name.

    Example:
        >>> Statements("", (), (), ("Source: thesis.",), ("a",), {"b": "why"}).all
        ('Source: thesis.', 'Missing: a.', 'Failed: b: why')
    """

    reading: str
    overall: tuple[str, ...]
    by_column: tuple[str, ...]
    about: tuple[str, ...]
    missing: tuple[str, ...]
    failed: dict[str, str]

    @property
    def caution(self) -> str:
        """What is to be known of the intervals, empty if there are none."""
        told = (*self.overall, *self.by_column)
        return CAUTION if any(_INTERVAL in text for text in told) else ""

    @property
    def all(self) -> tuple[str, ...]:
        """All of them, in order."""
        compared = (*self.overall, *self.by_column)
        return (
            *((self.reading,) if self.reading else ()),
            *compared,
            *((self.caution,) if self.caution else ()),
            *self.about,
            *(f"Missing: {name}." for name in self.missing),
            *(f"Failed: {name}: {why}" for name, why in self.failed.items()),
        )


def tell(results: Results) -> Statements:
    """Returns what an experiment's numbers say.

    Example:
        >>> from pathlib import Path
        >>> from tfsupermask.experiments.results import collect
        >>> folder = StudyFolder(Path("reproduction"))
        >>> results = collect(find("table", "8.3"), Study(seeds=1), folder)
        >>> tell(results).about[-2:]
        ('Restrictions: 1 seed.', 'Source: thesis Table 8.3.')
    """
    overall, by_column = _comparisons(results)
    return Statements(
        _reading(results),
        tuple(overall),
        tuple(by_column),
        tuple(about(results)),
        results.missing,
        results.failed,
    )


def _reading(results):
    distance = fit((c.cell.published, c.removed, c.kept) for c in results.cells)
    if distance is None:
        return ""
    removed, kept = distance.removed, distance.kept
    nearer = "Neither fits better"
    if f"{removed:.1f}" != f"{kept:.1f}":
        name = "removed" if removed < kept else "kept"
        nearer = f"Read as the fraction {name} they fit better"
    count = f"{distance.cells} cell{'s' if distance.cells > 1 else ''}"
    return (
        f"Pruning rates read as the fraction removed, the mean absolute difference to "
        f"the thesis is {removed:.1f} points; read as the fraction kept, {kept:.1f} "
        f"points ({count} that both readings have). {nearer}{_after(results)}."
    )


def _after(results):
    """Says if the numbers compared are not of equally long training."""
    epochs = results.config_of(results.cells[0].cell).epochs
    if epochs == THESIS_EPOCHS:
        return ""
    return f" (ours after {epochs} epochs, the thesis's after {THESIS_EPOCHS})"


def _comparisons(results):
    """Returns sentences over all columns of a measure, and by column."""
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
                told = by_column if len(pairs) > 1 else overall
                for head, pair in pairs.items():
                    place = head if head.startswith(panel) else f"{panel}, {head}"
                    told += say(place, [pair])
    return overall, by_column


def _columns_by_measure(cells):
    """Returns the heads by column, of each measure that can be better or worse."""
    heads = {}
    for (_, column), cell in cells.items():
        if cell.measure.higher_is_better is not None:
            heads.setdefault(cell.measure, {})[column] = cell.head
    return heads


def _say(row, first, measure: Measure, place, columns):
    """Returns a sentence on two rows in a list, which is empty without any pair."""
    paired = compare(columns)
    if paired is None:
        return []
    pairs = f"{paired.pairs} pair{'s' if paired.pairs > 1 else ''} of the same seed"
    if paired.columns < len(columns):
        pairs += f" in {paired.columns} of {len(columns)} columns"
    names = (row, first, measure, paired)
    if paired.interval is None:
        return [f"{place}: {_larger(*names)} (one seed: no interval; {pairs})."]
    if paired.shown:
        low, high = (f"{bound:.1f}" for bound in sorted(map(abs, paired.interval)))
        said = _judged(*names)
    else:
        low, high = map(_signed, paired.interval)
        said = (
            f"no difference shown between {row} and {first}: "
            f"{_signed(paired.difference)} {_unit(measure)}"
        )
    return [f"{place}: {said} ({_INTERVAL} {low} to {high}; {pairs})."]


def _judged(row, first, measure, paired):
    """Says which is better; an interval has shown it."""
    size = f"{abs(paired.difference):.1f} {_unit(measure)}"
    more = paired.difference > 0
    if measure.higher_is_better:
        return f"{row} {'beats' if more else 'falls short of'} {first} by {size}"
    better, comparative = ("worse", "more") if more else ("better", "less")
    return f"{row} is {better} than {first}: {size} {comparative}"


def _larger(row, first, measure, paired):
    """Says which is larger, and nothing of better."""
    word = "above" if paired.difference >= 0 else "below"
    return f"{row} is {abs(paired.difference):.1f} {_unit(measure)} {word} {first}"


def _unit(measure):
    return "points" if measure.label.endswith("%") else measure.label.split()[0]


def _signed(number):
    return f"{number:+z.1f}".replace("-", "−")
