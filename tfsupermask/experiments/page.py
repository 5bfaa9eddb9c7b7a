"""Everything that a study shows, written into its folder."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from tfsupermask._files import make_folder, write_atomically
from tfsupermask._validation import InputError
from tfsupermask.experiments.experiment import Experiment
from tfsupermask.experiments.figures import draw
from tfsupermask.experiments.folder import StudyFolder
from tfsupermask.experiments.plan import Study
from tfsupermask.experiments.records import csv_text
from tfsupermask.experiments.render import Entry, render_index, render_table
from tfsupermask.experiments.results import collect

# The same picture twice is the same bytes: no date, no random names.
_SAVING = {"savefig.dpi": 120, "savefig.bbox": "tight", "svg.hashsalt": "tfsupermask"}
_METADATA = {"svg": {"Date": None}, "png": {"Software": None}}


def write_all(
    experiments: Sequence[Experiment], study: Study, folder: StudyFolder
) -> Path:
    """Writes experiments' tables, figures and statements, and an index of them.

    Files are `tables/<slug>.md`, `.csv` and `.html`, `figures/<slug>.png` and `.svg`,
    `index.md`, and `index.html`, which holds everything and loads nothing. They depend
    on the runs alone: the same runs give the same bytes. Runs may be missing.

    Args:
        experiments: As in the catalogue.
        study: How far it was to go.
        folder: Where the runs are, and where everything is written; made if missing.

    Returns:
        The file index.html.

    Raises:
        OSError: A file cannot be written. It holds its old content then.

    Example:
        >>> from pathlib import Path
        >>> folder = StudyFolder(Path("reproduction"))
        >>> write_all([find("table", "8.3")], Study(), folder)
        PosixPath('reproduction/index.html')
        >>> sorted(path.name for path in Path("reproduction/tables").iterdir())
        ['table_8.3.csv', 'table_8.3.html', 'table_8.3.md']
    """
    for path in (folder.root / "tables", folder.root / "figures"):
        make_folder(path)
    entries = [_write(experiment, study, folder) for experiment in experiments]
    for kind in ("md", "html"):
        _write_text(folder.root / f"index.{kind}", render_index(kind, entries))
    return folder.root / "index.html"


def _write(experiment: Experiment, study: Study, folder: StudyFolder) -> Entry:
    results = collect(experiment, study, folder)
    entry, stem = Entry(results), experiment.slug
    if experiment.form != "table":
        try:
            figure = draw(results)
        except InputError as error:  # there are no such images here
            entry = Entry(results, why_no_figure=str(error))
        else:
            svg, png = _bytes(figure, "svg"), _bytes(figure, "png")
            entry = Entry(results, svg)
            _write_bytes(folder.root / "figures" / f"{stem}.svg", svg)
            _write_bytes(folder.root / "figures" / f"{stem}.png", png)
    if experiment.cells:
        tables = folder.root / "tables"
        _write_text(tables / f"{stem}.csv", csv_text(results))
        for kind in ("md", "html"):
            _write_text(tables / f"{stem}.{kind}", render_table(kind, entry))
    return entry


def _bytes(figure: Figure, kind: str) -> bytes:
    content = io.BytesIO()
    with matplotlib.rc_context(_SAVING):
        figure.savefig(content, format=kind, metadata=_METADATA[kind])
    return content.getvalue()


def _write_text(path, text):
    # A reason that is not Unicode must not cost the page.
    _write_bytes(path, text.encode(errors="replace"))


def _write_bytes(path, content):
    write_atomically(path, lambda file: file.write(content))
