"""The training curves of a report."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from tfsupermask.report.charts import Series, line_chart
from tfsupermask.report.collect import Run

_TOLERANCE = 1e-3  # smaller changes of sparsity come from rounding in small layers
_GREY = 4  # the style of a line that belongs to no split


def run_curves(run: Run) -> dict[str, Markup]:
    """Returns the charts of one run by title; there are none before the first epoch."""
    split = run.config.epoch_split
    charts = {
        "Cross-entropy / nats": [
            _series(run, "train", "train_loss"),
            _series(run, split, f"{split}_loss", style=1),
        ],
        "Top-1 accuracy / %": [
            _series(run, "train", "train_top1", 100),
            _series(run, split, f"{split}_top1", 100, style=1),
        ],
        "Mask bits flipped in the epoch / %": [
            _series(run, "flips", "mask_flips", 100, _GREY)
        ],
    }
    if _varies([run]):
        removed = _series(run, "removed", "sparsity", 100, _GREY)
        charts["Weights removed / %"] = [removed]
    return _draw(charts)


def common_curves(runs: Sequence[Run], letters: Sequence[str]) -> dict[str, Markup]:
    """Returns the charts of several runs on common axes, by title."""
    columns = {
        "Training cross-entropy / nats": ("train_loss", 1),
        "Test cross-entropy / nats": ("test_loss", 1),
        "Validation cross-entropy / nats": ("validation_loss", 1),
        "Training top-1 accuracy / %": ("train_top1", 100),
        "Test top-1 accuracy / %": ("test_top1", 100),
        "Validation top-1 accuracy / %": ("validation_top1", 100),
        "Mask bits flipped in the epoch / %": ("mask_flips", 100),
        "Learning rate": ("learning_rate", 1),
    }
    if _varies(runs):
        columns["Weights removed / %"] = ("sparsity", 100)
    return _draw(
        {
            title: [
                _series(run, letter, *column, style)
                for style, (run, letter) in enumerate(zip(runs, letters, strict=True))
            ]
            for title, column in columns.items()
        }
    )


def _series(run, label, column, factor=1, style=0):
    """Returns a column of a run; empty if the run has no such column."""
    rows = (row for row in run.rows if column in row)
    points = ((row["epoch"], factor * row[column]) for row in rows)
    return Series(label, tuple(points), style)


def _varies(runs):
    values = [[row["sparsity"] for row in run.rows] for run in runs]
    return any(each and max(each) - min(each) > _TOLERANCE for each in values)


def _draw(charts):
    drawn = {title: line_chart(title, series) for title, series in charts.items()}
    return {title: chart for title, chart in drawn.items() if chart}
