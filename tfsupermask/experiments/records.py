"""An experiment's numbers and statements as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from tfsupermask.experiments.results import Results
from tfsupermask.experiments.statements import Statements, tell
from tfsupermask.experiments.statistics import difference, exceeds_both_spreads

_COLUMNS = (
    *("experiment", "panel", "row", "column", "measure", "reading", "prune"),
    *("thesis_mean", "thesis_sd", "mean", "sd", "seeds", "difference"),
    *("exceeds_both_spreads", "values", "epochs", "training_images", "dataset"),
    "statement",
)


def csv_text(results: Results) -> str:
    """Returns an experiment as CSV: a line for each number, then one a statement.

    `prune` is the fraction that the runs removed; `values` are those by seed, as in
    "0:51.2 1:50.9"; what is not known is empty.

    Example:
        >>> from pathlib import Path
        >>> from tfsupermask.experiments.results import collect
        >>> folder = StudyFolder(Path("reproduction"))
        >>> text = csv_text(collect(find("table", "8.3"), Study(seeds=1), folder))
        >>> lines = text.splitlines()
        >>> lines[1]
        'table_8.3,,Random,10 %,test_top1,removed,0.1,12.3,,,,0,,,,100,50000,cifar10,'
        >>> lines[-1]
        'table_8.3,,,,,,,,,,,,,,,,,,Missing: conv6-cifar10-prune0.5-patches-seed0-...'
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_records(results, tell(results)))
    return text.getvalue().replace("\N{NO-BREAK SPACE}", " ")


def _records(results: Results, statements: Statements) -> Iterator[dict]:
    for cell in results.cells:
        yield _record(results, cell, cell.cell, "removed", cell.removed)
        if cell.kept is not None:
            yield _record(results, cell, cell.cell.opposite, "kept", cell.kept)
    for statement in statements.all:
        yield {"experiment": results.experiment.slug, "statement": statement}


def _record(results, result, run, reading, sample):
    cell, published = result.cell, result.cell.published
    distance = difference(sample, published)
    known = distance is not None and sample.n > 1
    numbers = {
        "thesis_mean": published.mean if published else None,
        "thesis_sd": published.deviation if published else None,
        "mean": sample.mean,
        "sd": sample.deviation,
        "difference": distance,
    }
    return {
        "experiment": results.experiment.slug,
        "panel": cell.panel,
        "row": cell.row,
        "column": cell.column,
        "measure": cell.measure,
        "reading": reading,
        "prune": f"{run.config.prune:g}",
        **{name: _plain(number) for name, number in numbers.items()},
        "seeds": sample.n,
        "exceeds_both_spreads": _yes(sample, published) if known else "",
        "values": " ".join(f"{k}:{_plain(v)}" for k, v in sample.values.items()),
        "epochs": results.config_of(run).epochs,
        "training_images": results.num_images,
        "dataset": results.dataset,
    }


def _plain(number):
    return "" if number is None else f"{number:.6g}"


def _yes(sample, published):
    return "yes" if exceeds_both_spreads(sample, published) else "no"
