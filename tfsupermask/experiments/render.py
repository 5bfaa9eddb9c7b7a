"""Pages of HTML and Markdown, from what was collected and drawn."""

from __future__ import annotations

import base64
import dataclasses
import functools
import re
from collections.abc import Sequence

import jinja2

from tfsupermask.experiments.about import machines, shortcomings, total_seconds
from tfsupermask.experiments.measures import Outcome
from tfsupermask.experiments.results import Results
from tfsupermask.experiments.statements import Statements, tell
from tfsupermask.experiments.tables import MARK, Table, tables
from tfsupermask.report.formats import duration

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~$&])")


@dataclasses.dataclass(frozen=True)
class Entry:
    """An experiment on a page.

    Attributes:
        results: What its runs reached.
        svg: Its figure, or `None` if it has none.
        why_no_figure: Why it has none though it should, empty otherwise.

    Example:
        >>> from pathlib import Path
        >>> from tfsupermask.experiments.results import collect
        >>> nowhere = StudyFolder(Path("none"))
        >>> Entry(collect(find("table", "8.3"), Study(), nowhere)).tables[0].title
        ''
    """

    results: Results
    svg: bytes | None = None
    why_no_figure: str = ""

    @functools.cached_property
    def tables(self) -> tuple[Table, ...]:
        """Its numbers."""
        return tables(self.results)

    @functools.cached_property
    def statements(self) -> Statements:
        """What they say."""
        return tell(self.results)

    @property
    def shortcomings(self) -> tuple[str, ...]:
        """What makes it less than the thesis's."""
        return shortcomings(self.results)


@dataclasses.dataclass(frozen=True)
class Whole:
    """All experiments of a study together.

    Attributes:
        entries: The experiments.

    Example:
        >>> Whole(()).lede
        '0 of 0 runs done.'
    """

    entries: Sequence[Entry]

    @property
    def runs(self) -> dict[str, Outcome]:
        """The distinct runs that are done, by name."""
        return self._merged(lambda results: results.runs)

    @property
    def failed(self) -> dict[str, str]:
        """Why runs failed, by name."""
        return self._merged(lambda results: results.failed)

    @property
    def lede(self) -> str:
        """How far the study is."""
        missing = self._merged(lambda results: dict.fromkeys(results.missing))
        absent = self.failed | missing
        asked = len(self.runs | absent)
        seconds = total_seconds(self.runs)
        spent = f", {duration(seconds)} in all" if seconds else ""
        return f"{asked - len(absent)} of {asked} runs done{spent}."

    @property
    def about(self) -> list[str]:
        """On what machines, and how far it was to go."""
        study = self.entries[0].results.study if self.entries else None
        told = [f"Seeds: {study.seeds}."] if study else []
        if study and study.restrictions:
            told.append(f"Restrictions: {'; '.join(study.restrictions)}.")
        for machine, count in sorted(machines(self.runs).items()):
            told.append(f"Machine of {count} run{'s' if count > 1 else ''}: {machine}.")
        return told

    def _merged(self, read):
        return {
            name: value
            for entry in self.entries
            for name, value in read(entry.results).items()
        }


def render_index(kind: str, entries: Sequence[Entry]) -> str:
    """Returns the page of all experiments.

    Args:
        kind: "html", which loads nothing, or "md", with relative links to pictures.
        entries: The experiments in order.

    Example:
        >>> render_index("md", []).splitlines()[0]
        '# The thesis, repeated'
    """
    template = _ENVIRONMENT.get_template(f"index.{kind}")
    return template.render(entries=entries, whole=Whole(entries))


def render_table(kind: str, entry: Entry) -> str:
    """Returns the page of one experiment.

    Args:
        kind: "html" or "md", as of `render_index`; links lead out of a folder.
        entry: The experiment.

    Example:
        >>> from pathlib import Path
        >>> from tfsupermask.experiments.results import collect
        >>> nowhere = StudyFolder(Path("none"))
        >>> entry = Entry(collect(find("table", "8.3"), Study(), nowhere))
        >>> render_table("md", entry).splitlines()[0]
        '## Table 8.3: Conv6 on CIFAR-10, top-1 test accuracy'
    """
    return _ENVIRONMENT.get_template(f"table.{kind}").render(entry=entry)


def _svg_uri(svg):
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"


def _markdown(text):
    return _MARKDOWN.sub(r"\\\1", re.sub(r"\s*[\r\n]\s*", " ", text))


# The reasons why runs failed are anybody's text: nothing goes in unescaped.
_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.ChoiceLoader(
        [
            jinja2.PackageLoader("tfsupermask.experiments"),
            jinja2.PackageLoader("tfsupermask.report"),
        ]
    ),
    autoescape=jinja2.select_autoescape(("html",)),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_ENVIRONMENT.filters |= {"md": _markdown, "svg_uri": _svg_uri}
_ENVIRONMENT.globals |= {"MARK": MARK}
