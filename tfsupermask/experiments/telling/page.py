"""Everything that a reproduction shows, written into its folder."""

from __future__ import annotations

import dataclasses
import functools
import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from tfsupermask._files import make_folder, write_atomically
from tfsupermask._text import duration
from tfsupermask._validation import InputError
from tfsupermask.experiments.catalogue.experiment import Experiment
from tfsupermask.experiments.running.folder import OutputFolder
from tfsupermask.experiments.running.planning import Scope
from tfsupermask.experiments.telling.figures import draw
from tfsupermask.experiments.telling.results import Results, collect
from tfsupermask.experiments.telling.statements import (
    Statements,
    machine_sentences,
    spent_seconds,
    statements_of,
)
from tfsupermask.experiments.telling.tables import MARK, Table, csv_text, tables_of
from tfsupermask.report.page import environment

# The same picture twice is the same bytes: no date, no random names.
_SAVING = {"savefig.dpi": 120, "savefig.bbox": "tight", "svg.hashsalt": "tfsupermask"}
_METADATA = {"svg": {"Date": None}, "png": {"Software": None}}


def write_all(
    experiments: Sequence[Experiment], scope: Scope, folder: OutputFolder
) -> Path:
    """Writes experiments' tables, figures and statements, and a page of them all.

    Files are `tables/<slug>.csv` and `.html`, `figures/<slug>.png` and `.svg`, and
    `index.html`, which holds everything and loads nothing. They depend on the runs
    alone: the same runs give the same bytes. Runs may be missing.

    Args:
        experiments: As in the catalogue.
        scope: How far it was to go.
        folder: Where the runs are, and where everything is written; made if missing.

    Returns:
        The file index.html.

    Raises:
        OSError: A file cannot be written. It holds its old content then.

    Example:
        >>> from pathlib import Path
        >>> folder = OutputFolder(Path("reproduction"))
        >>> write_all([find("table", "8.3")], Scope(), folder)
        PosixPath('reproduction/index.html')
        >>> sorted(path.name for path in Path("reproduction/tables").iterdir())
        ['table_8.3.csv', 'table_8.3.html']
    """
    for path in (folder.root / "tables", folder.root / "figures"):
        make_folder(path)
    entries = [_write(experiment, scope, folder) for experiment in experiments]
    index = folder.root / "index.html"
    page = {"entries": entries, "scope": scope, **_together(entries)}
    _write_text(index, _render("index.html", **page))
    return index


@dataclasses.dataclass(frozen=True)
class _Entry:
    """An experiment on a page: its results and its figure, or why it has none."""

    results: Results
    svg: bytes | None = None
    why_no_figure: str = ""

    @functools.cached_property
    def tables(self) -> tuple[Table, ...]:
        """Its numbers."""
        return tables_of(self.results)

    @functools.cached_property
    def statements(self) -> Statements:
        """What they say."""
        return statements_of(self.results)


def _write(experiment: Experiment, scope: Scope, folder: OutputFolder) -> _Entry:
    results = collect(experiment, scope, folder)
    entry, stem = _Entry(results), experiment.slug
    if experiment.form != "table":
        try:
            figure = draw(results)
        except InputError as error:  # there are no such images here
            entry = _Entry(results, why_no_figure=str(error))
        else:
            svg, png = _bytes(figure, "svg"), _bytes(figure, "png")
            entry = _Entry(results, svg)
            _write_bytes(folder.root / "figures" / f"{stem}.svg", svg)
            _write_bytes(folder.root / "figures" / f"{stem}.png", png)
    if experiment.cells:
        tables = folder.root / "tables"
        _write_text(tables / f"{stem}.csv", csv_text(results))
        _write_text(tables / f"{stem}.html", _render("table.html", entry=entry))
    return entry


def _together(entries):
    """Returns what is said of the distinct runs of all experiments."""
    runs, failed, missing = {}, {}, set()
    for results in (entry.results for entry in entries):
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
    }


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


def _render(template, **values):
    return _ENVIRONMENT.get_template(template).render(values)


# The report's package has the style.
_ENVIRONMENT = environment("tfsupermask.experiments.telling", "tfsupermask.report")
_ENVIRONMENT.globals["MARK"] = MARK
