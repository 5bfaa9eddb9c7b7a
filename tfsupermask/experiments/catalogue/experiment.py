"""What a table or figure consists of."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from tfsupermask.runs import Config

RANDOM = "Xavier normal"
THESIS_EPOCHS = 100


@dataclasses.dataclass(frozen=True)
class Value:
    """A published or measured number.

    Attributes:
        mean: In the unit of its measure.
        deviation: Standard deviation over seeds, or `None` if there is none.

    Example:
        >>> Value.parse("15.3±0.7")
        Value(mean=15.3, deviation=0.7)
    """

    mean: float
    deviation: float | None = None

    @classmethod
    def parse(cls, text: str) -> Value:
        """Returns the value of a text such as `"15.3±0.7"` or `"48.1"`."""
        mean, _, deviation = text.partition("±")
        return cls(float(mean), float(deviation) if deviation else None)


@dataclasses.dataclass(frozen=True)
class Cell:
    """One number of a table or figure: its row and column, its runs, what they measure.

    Attributes:
        row: Name of the row, or of the line in a figure.
        column: Name of the column.
        config: The run; the number of its seed is added to its `seed` later.
        measure: A name in `tfsupermask.experiments.MEASURES`.
        published: The thesis's value, if it gives one, or that of the experiment's
            `published_by`.
        panel: Title of the figure's panel.
        mask_of: The cell from which the run takes its mask (`mask_from`), if any.
        weights_of: The cell from which the run takes its weights, likewise.

    Example:
        >>> cell = Cell("PatchesInit", "10 %", Config(prune=0.1))
        >>> cell.opposite.config.prune
        0.9
    """

    row: str
    column: str
    config: Config
    measure: str = "test_top1"
    published: Value | None = None
    panel: str = ""
    mask_of: Cell | None = None
    weights_of: Cell | None = None

    def adapted(self, **changes) -> Cell:
        """Returns the cell, and those that it depends on, with changed configs."""
        return dataclasses.replace(
            self,
            config=dataclasses.replace(self.config, **changes),
            mask_of=self.mask_of and self.mask_of.adapted(**changes),
            weights_of=self.weights_of and self.weights_of.adapted(**changes),
        )

    @property
    def opposite(self) -> Cell:
        """The same cell with its pruning rate read as the fraction that is kept."""
        return self.adapted(prune=round(1 - self.config.prune, 9))


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A table or figure as data: what varies, what stays, and what was published.

    Attributes:
        kind: "table" or "figure" of the thesis, or "study" for what has no number.
        name: Its number, such as "8.3", or the study's name.
        title: What it shows.
        source: Its place in the thesis or in our documentation.
        form: "table"; "rates" or "images", accuracy against the pruning rate or the
            number of training images; "epochs", curves of training; or "patches", a
            picture of images and patches.
        cells: All numbers. The other rows are compared with the first one.
        curves: Columns of metrics.csv that the form "epochs" draws.
        dataset: Name of the dataset of all cells.
        note: What a reader must know beyond the title.
        published_by: Source of the published values. Defaults to "thesis".
        both_readings: Whether to run it a second time with the pruning rates read as
            the fraction kept. `False` where the rates are our own.

    Example:
        >>> experiment = find("table", "8.3")
        >>> experiment.title
        'Conv6 on CIFAR-10, top-1 test accuracy'
        >>> len(experiment.cells)
        10
    """

    kind: str
    name: str
    title: str
    source: str
    form: str
    cells: tuple[Cell, ...]
    dataset: str
    curves: tuple[str, ...] = ()
    note: str = ""
    published_by: str = "thesis"
    both_readings: bool = True

    @property
    def label(self) -> str:
        """Kind and name for people, such as "Figure 5.2"."""
        return f"{self.kind.capitalize()} {self.name}"

    @property
    def has_own_sizes(self) -> bool:
        """Whether its cells say epochs and numbers of images, which then hold."""
        return any(cell.config.epochs for cell in self.cells)

    @property
    def slug(self) -> str:
        """Kind and name for files, such as "figure_5.2"."""
        return f"{self.kind}_{self.name}"


def study(name: str, title: str, cells: Iterable[Cell], **more: Any) -> Experiment:
    """Returns an experiment of our own, by default a table of docs/beyond.md."""
    cells = tuple(cells)
    fields = {"source": "docs/beyond.md", "form": "table", "both_readings": False}
    dataset = cells[0].config.dataset
    return Experiment(
        "study", name, title, cells=cells, dataset=dataset, **(fields | more)
    )


def rate_name(prune: float) -> str:
    """Returns a pruning rate as the thesis writes it at the head of a column."""
    return f"{100 * prune:g}\N{NO-BREAK SPACE}%"
