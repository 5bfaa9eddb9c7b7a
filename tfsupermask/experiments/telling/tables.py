"""An experiment's numbers beside the thesis's, as tables of text and as CSV."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterator

from tfsupermask._text import NONE, counted, signed
from tfsupermask.experiments.catalogue.experiment import Value
from tfsupermask.experiments.telling.collecting import CellResult, Results
from tfsupermask.experiments.telling.statements import statements_of
from tfsupermask.experiments.telling.statistics import (
    Sample,
    difference,
    exceeds_both_spreads,
)
from tfsupermask.layers import get_method

MARK = "†"


@dataclasses.dataclass(frozen=True)
class Table:
    """A panel as text: each row has lines ("thesis", "ours", ...), a text a column."""

    title: str  # empty if there is only one panel
    heads: tuple[str, ...]
    rows: dict[str, dict[str, tuple[str, ...]]]

    @property
    def is_marked(self) -> bool:
        """Whether a difference exceeds both standard deviations."""
        lines = (line for row in self.rows.values() for line in row.values())
        return any(MARK in text for line in lines for text in line)


def tables_of(results: Results) -> tuple[Table, ...]:
    """Returns a table for each panel of an experiment."""
    return tuple(
        _table(title, panel, results.scope.seeds, results.experiment.published_by)
        for title, panel in results.panels.items()
    )


def _table(title, panel, seeds, published_by):
    heads = {}
    for (_, column), cell in panel.items():
        heads.setdefault(column, cell.head)
    rows = {}
    for row in dict.fromkeys(row for row, _ in panel):
        cells = [panel[row, column] for column in heads]
        lines = _lines(cells, seeds, published_by)
        rows[row] = {name: tuple(texts) for name, texts in lines}
    return Table(title, tuple(heads.values()), rows)


def _lines(cells, seeds, published_by):
    """Yields the name and the texts of each line in a row."""
    published = any(cell.cell.published for cell in cells)
    if published:
        yield published_by, [_value(cell.cell.published, cell) for cell in cells]
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
        return NONE
    text = f"{value.mean:,.{cell.digits}f}"
    if value.deviation is None:
        return text
    return f"{text} ± {value.deviation:.{cell.digits}f}"


def _sample(sample: Sample | None, cell: CellResult, seeds: int) -> str:
    if sample is None or not sample.n:
        return NONE
    text = _value(Value(sample.mean, sample.deviation), cell)
    return text if sample.n == seeds else f"{text} ({counted(sample.n, 'seed')})"


def _difference(sample: Sample | None, cell: CellResult) -> str:
    published = cell.cell.published
    distance = None if sample is None else difference(sample, published)
    if distance is None:
        return NONE
    text = signed(distance, cell.digits)
    return f"{text} {MARK}" if exceeds_both_spreads(sample, published) else text


def csv_text(results: Results) -> str:
    """Returns an experiment as CSV: a line for each number, then for each statement.

    `prune` is the fraction to remove, where the method takes one. `values` has the
    value of each seed, as in "0:51.2 1:50.9". Unknown values are empty.
    """
    records = list(_records(results))
    text = io.StringIO()
    columns = [*records[0], "statement"]
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue().replace("\N{NO-BREAK SPACE}", " ")


def _records(results: Results) -> Iterator[dict]:
    for cell in results.cells:
        yield _record(results, cell, cell.cell, "removed", cell.removed)
        if cell.kept is not None:
            yield _record(results, cell, cell.cell.opposite, "kept", cell.kept)
    for statement in statements_of(results).all:
        yield {"experiment": results.experiment.slug, "statement": statement}


def _record(results, result, run, reading, sample):
    cell, published = result.cell, result.cell.published
    distance = difference(sample, published)
    takes_sparsity = get_method(run.config.method).takes_sparsity
    exceeds = ""
    if distance is not None and sample.n > 1:
        exceeds = "yes" if exceeds_both_spreads(sample, published) else "no"
    return {
        "experiment": results.experiment.slug,
        "panel": cell.panel,
        "row": cell.row,
        "column": cell.column,
        "measure": cell.measure,
        "reading": reading,
        "prune": f"{run.config.prune:g}" if takes_sparsity else "",
        "published_by": results.experiment.published_by if published else "",
        "published_mean": _plain(published and published.mean),
        "published_sd": _plain(published and published.deviation),
        "mean": _plain(sample.mean),
        "sd": _plain(sample.deviation),
        "seeds": sample.n,
        "difference": _plain(distance),
        "exceeds_both_spreads": exceeds,
        "values": " ".join(f"{k}:{_plain(v)}" for k, v in sample.values.items()),
        "epochs": results.epochs_of(run),
        "training_images": results.images_of(run),
        "dataset": results.dataset,
    }


def _plain(number):
    return "" if number is None else f"{number:.6g}"
