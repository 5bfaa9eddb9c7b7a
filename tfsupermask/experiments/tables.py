"""An experiment's numbers beside the thesis's."""

from __future__ import annotations

import dataclasses

from tfsupermask.experiments.experiment import Value
from tfsupermask.experiments.results import CellResult, Results
from tfsupermask.experiments.statistics import (
    Sample,
    difference,
    exceeds_both_spreads,
)

MARK = "†"
_NONE = "–"


@dataclasses.dataclass(frozen=True)
class Table:
    """A panel's numbers as text.

    Attributes:
        title: The panel's, empty if there is only one.
        heads: Of its columns.
        rows: For each row of the experiment its lines by name ("thesis", "ours",
            "difference" and the like), a text for each column.

    Example:
        >>> Table("Conv2", ("10 %",), {"Random": {"thesis": ("48.1 †",)}}).is_marked
        True
    """

    title: str
    heads: tuple[str, ...]
    rows: dict[str, dict[str, tuple[str, ...]]]

    @property
    def is_marked(self) -> bool:
        """Whether a difference exceeds both spreads."""
        lines = (line for row in self.rows.values() for line in row.values())
        return any(MARK in text for line in lines for text in line)


def tables(results: Results) -> tuple[Table, ...]:
    r"""Returns a table for each panel of an experiment.

    For each row there are the thesis's numbers, ours, the difference, and where the
    reading of the pruning rate matters ours and the difference in the other reading.
    A row without a number in the thesis has only ours.

    Example:
        >>> from pathlib import Path
        >>> from tfsupermask.experiments.results import collect
        >>> folder = StudyFolder(Path("reproduction"))
        >>> table, = tables(collect(find("table", "8.3"), Study(), folder))
        >>> table.heads[0]
        '10\xa0% removed (90\xa0% kept)'
        >>> table.rows["Random"]["thesis"]
        ('12.3', '74.7', '79.6', '74.8', '28.6')
    """
    return tuple(
        _table(results, title, panel) for title, panel in results.panels.items()
    )


def _table(results, title, panel):
    heads = {column: cell.head for (_, column), cell in panel.items()}
    rows = {}
    for row in dict.fromkeys(row for row, _ in panel):
        cells = [panel[row, column] for column in heads]
        lines = _lines(cells, results.study.seeds)
        rows[row] = {name: tuple(texts) for name, texts in lines}
    return Table(title, tuple(heads.values()), rows)


def _lines(cells, seeds):
    """Yields the name and the texts of each of a row's lines."""
    published = any(cell.cell.published for cell in cells)
    if published:
        yield "thesis", [_value(cell.cell.published, cell) for cell in cells]
    for suffix, samples in (
        ("", [cell.removed for cell in cells]),
        (", rate read as kept", [cell.kept for cell in cells]),
    ):
        if all(sample is None for sample in samples):
            continue
        pairs = list(zip(samples, cells, strict=True))
        yield f"ours{suffix}", [_sample(*pair, seeds) for pair in pairs]
        if published:
            yield f"difference{suffix}", [_difference(*pair) for pair in pairs]


def _value(value: Value | None, cell: CellResult) -> str:
    if value is None:
        return _NONE
    text = f"{value.mean:,.{cell.digits}f}"
    if value.deviation is None:
        return text
    return f"{text} ± {value.deviation:.{cell.digits}f}"


def _sample(sample: Sample | None, cell: CellResult, seeds: int) -> str:
    if sample is None or not sample.n:
        return _NONE
    text = _value(Value(sample.mean, sample.deviation), cell)
    if sample.n == seeds:
        return text
    return f"{text} ({sample.n} seed{'s' if sample.n > 1 else ''})"


def _difference(sample: Sample | None, cell: CellResult) -> str:
    published = cell.cell.published
    distance = None if sample is None else difference(sample, published)
    if distance is None:
        return _NONE
    text = f"{distance:+z,.{cell.digits}f}".replace("-", "−")
    return f"{text} {MARK}" if exceeds_both_spreads(sample, published) else text
