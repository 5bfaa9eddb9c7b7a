"""Writes the tables, figures and pages of a reproduction into its folder."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from tfsupermask._files import make_folder, one_at_a_time, write_atomically
from tfsupermask._text import duration
from tfsupermask._validation import InputError
from tfsupermask.experiments.catalogue.experiment import Experiment
from tfsupermask.experiments.running.output import OutputFolder
from tfsupermask.experiments.running.planning import Scope
from tfsupermask.experiments.telling.collecting import collect
from tfsupermask.experiments.telling.figures import draw
from tfsupermask.experiments.telling.statements import (
    machine_sentences,
    spent_seconds,
    statements_of,
)
from tfsupermask.experiments.telling.tables import MARK, csv_text, tables_of
from tfsupermask.report.page import environment

# No date and no random names, so that equal pictures have equal bytes.
_SAVING = {"savefig.dpi": 120, "savefig.bbox": "tight", "svg.hashsalt": "tfsupermask"}
_METADATA = {"svg": {"Date": None}, "png": {"Software": None}}


def write_all(
    experiments: Sequence[Experiment], scope: Scope, folder: OutputFolder
) -> Path:
    """Writes experiments' tables, figures and statements, and one page with all.

    The files are `tables/<slug>.csv` and `.html`, `figures/<slug>.png` and `.svg`, and
    `index.html`, which holds everything and loads nothing. They depend only on the
    runs: the same runs give the same bytes. Runs may be missing.

    Args:
        experiments: Experiments of the catalogue.
        scope: How much of them was to be run.
        folder: Holds the runs and gets the files; made if missing.

    Returns:
        The file index.html.

    Raises:
        OSError: A file cannot be written. It then keeps its old content.

    Example:
        >>> from pathlib import Path
        >>> folder = OutputFolder(Path("reproduction"))
        >>> write_all([find("table", "8.3")], Scope(), folder)
        PosixPath('reproduction/index.html')
        >>> sorted(path.name for path in Path("reproduction/tables").iterdir())
        ['table_8.3.csv', 'table_8.3.html']
    """
    for path in (folder.tables, folder.figures):
        make_folder(path)
    # Shards that end together write the same files.
    with one_at_a_time(folder.root / ".lock"):
        entries = [_write(experiment, scope, folder) for experiment in experiments]
        page = {"entries": entries, "seeds": scope.seeds, **_together(entries)}
        _write_text(folder.index, _render("index.html", **page))
    return folder.index


def _write(experiment: Experiment, scope: Scope, folder: OutputFolder) -> dict:
    """Writes an experiment's tables and figure; returns what a page shows of it."""
    results, stem = collect(experiment, scope, folder), experiment.slug
    entry = {
        "results": results,
        "tables": tables_of(results),
        "statements": statements_of(results),
        "svg": None,
        "why_no_figure": "",
    }
    if experiment.form != "table":
        try:
            figure = draw(results)
        except InputError as error:  # the images are not on this machine
            entry["why_no_figure"] = str(error)
        else:
            entry["svg"] = _bytes(figure, "svg")
            _write_bytes(folder.figures / f"{stem}.svg", entry["svg"])
            _write_bytes(folder.figures / f"{stem}.png", _bytes(figure, "png"))
    if experiment.cells:
        _write_text(folder.tables / f"{stem}.csv", csv_text(results))
        _write_text(folder.tables / f"{stem}.html", _render("table.html", entry=entry))
    return entry


def _together(entries):
    """Returns the page's summary of the distinct runs of all experiments."""
    runs, failed, missing, restrictions = {}, {}, set(), {}
    for results in (entry["results"] for entry in entries):
        restrictions |= dict.fromkeys(results.scope.restrictions)
        runs |= results.runs
        failed |= results.failed
        missing |= set(results.missing)
    absent = failed.keys() | missing
    asked = len(runs.keys() | absent)
    seconds = spent_seconds(runs)
    spent = f", {duration(seconds)} in all" if seconds else ""
    return {
        "lede": f"{asked - len(absent)} of {asked} runs done{spent}.",
        "machines": list(machine_sentences(runs)),
        "failed": failed,
        "restrictions": list(restrictions),
    }


def _bytes(figure: Figure, image_format: str) -> bytes:
    content, metadata = io.BytesIO(), _METADATA[image_format]
    with matplotlib.rc_context(_SAVING):
        figure.savefig(content, format=image_format, metadata=metadata)
    return content.getvalue()


def _write_text(path, text):
    # The page is written even if a reason holds what is not Unicode.
    _write_bytes(path, text.encode(errors="replace"))


def _write_bytes(path, content):
    write_atomically(path, lambda file: file.write(content))


def _render(template, **values):
    return _ENVIRONMENT.get_template(template).render(values)


# The style is a template of the report's package.
_ENVIRONMENT = environment("tfsupermask.experiments.telling", "tfsupermask.report")
_ENVIRONMENT.globals["MARK"] = MARK
