"""Tables and curves of the zoo: ours beside the thesis's and published numbers."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks import _markdown
from tfsupermask._text import NONE, counted, duration, signed
from tfsupermask.experiments import EXPERIMENTS, NUM_IMAGES
from tfsupermask.experiments.catalogue.thesis import TITLES
from tfsupermask.experiments.running.outcomes import Outcome
from tfsupermask.experiments.telling.figures import styles
from tfsupermask.experiments.telling.statements import (
    machine_sentences,
    spent_seconds,
)
from tfsupermask.experiments.telling.statistics import Sample, compare
from tfsupermask.runs import PATCH_INITS, RANDOM_INITS, Config, resolve
from tfsupermask.train.build import random_init
from tfsupermask.zoo import Entry

BLOCK = "zoo"
PICTURE = "pictures/zoo_curves.png"

# Edge-popup with signed constants, half of the weights removed, 100 epochs, in percent.
# Aladago and Torresani, 2021, "Slot machines", Table 2, as quoted by others;
# Ramanujan et al., 2020, print curves alone.
PUBLISHED = {"conv2": 77.7, "conv4": 85.8, "conv6": 88.1}

_MOST = (
    "signed_constant",
    "patches",
    "glorot_normal",
    "whitened_90_er",
    "control_90_er",
)
_MORE = (*_MOST, "signed_unit", "whitened", "kaiming_normal")
PLANNED = tuple(
    f"{model}_{variant}_s{seed}"
    for model, seeds, variants in (
        ("conv2", (0,), _MORE),
        ("conv2", (1, 2), _MOST),
        ("conv4", (0,), _MOST),
        ("conv6", (0,), _MOST),
    )
    for seed in seeds
    for variant in variants
)


@dataclasses.dataclass(frozen=True)
class Row:
    """The runs that differ in the seed alone."""

    entries: tuple[Entry, ...]

    @property
    def config(self) -> Config:
        """The configuration of the first one."""
        return Config.from_saved(self.entries[0].config)

    @property
    def task(self) -> str:
        """Network and images."""
        model, dataset = self.config.model, self.config.dataset
        return f"{TITLES.get(model, model)} on {TITLES.get(dataset, dataset)}"

    @property
    def weights(self) -> str:
        """How they came about, in the words of the flags."""
        config = self.config
        preset = config.init == "whitened_patches"
        rescaled = config.rescale == "unit_power" and not preset
        return f"`{config.init}`" + (", `unit_power`" if rescaled else "")

    @property
    def rate(self) -> str:
        """The sparsity."""
        return f"{100 * self.config.prune:g} %"

    @property
    def shares(self) -> str:
        """How the layers share the sparsity, behind a comma unless equally."""
        names = {"uniform": "", "erdos_renyi": ", Erdős–Rényi", "global": ", global"}
        return names[self.config.allocation]

    @property
    def names(self) -> str:
        """The names of the tickets, the first one in full."""
        first, *others = self.entries
        endings = (f"`…_s{entry.config['seed']}`" for entry in others)
        return ", ".join([f"`{first.name}`", *endings])

    def top1(self, epoch: int = -1) -> Sample:
        """Returns the test accuracies by seed after an epoch, 0 is the first one."""
        return Sample(
            {
                entry.config["seed"]: 100 * entry.rows[epoch]["test_top1"]
                for entry in self.entries
            }
        )


def rows_of(entries: Sequence[Entry]) -> list[Row]:
    """Returns the rows of the table: by network, sparsity and initialisation."""
    rows: dict[str, list[Entry]] = {}
    for entry in entries:
        rows.setdefault(_but_for_the_seed(entry.config), []).append(entry)
    return sorted((Row(tuple(each)) for each in rows.values()), key=_place)


def _but_for_the_seed(fields):
    return json.dumps({**fields, "seed": None}, sort_keys=True)


def _place(row):
    config = row.config
    inits = ("signed_constant", *RANDOM_INITS, *PATCH_INITS)
    return row.task, config.prune, inits.index(config.init), row.weights


def control_of(row: Row, rows: Sequence[Row]) -> Row | None:
    """Returns the row without patterns that is the same in all else, if there is one.

    All its weights are drawn as those of `row` that get no patterns.
    """
    config = row.config
    if config.init not in PATCH_INITS:
        return None
    of_patterns = {
        field.name: field.default
        for field in dataclasses.fields(Config)
        if (field.metadata["applies"] or [None])[0] == "init"
    }
    control = dataclasses.replace(config, **of_patterns, init=random_init(config))
    key = _but_for_the_seed(control.identity())
    by_key = {_but_for_the_seed(other.entries[0].config): other for other in rows}
    return by_key.get(key)


def lead(row: Row, rows: Sequence[Row], epoch: int = -1) -> str:
    """Returns by how many points a row is ahead of its control, seed by seed."""
    control = control_of(row, rows)
    paired = control and compare([(row.top1(epoch), control.top1(epoch))])
    return signed(paired.difference, 2) if paired else NONE


def thesis_value(row: Row) -> str:
    """Returns what the thesis's tables have for the same schedule."""
    for experiment in EXPERIMENTS:
        for cell in experiment.cells if experiment.kind == "table" else ():
            if cell.measure == "test_top1" and _is_run_of(cell.config, row):
                return f"{cell.published.mean:.1f}"
    return NONE


def published_value(row: Row) -> str:
    """Returns what was published for edge-popup on the same network."""
    model = row.config.model
    theirs = Config(model=model, dataset="cifar10", init="signed_constant")
    return (
        str(PUBLISHED[model])
        if model in PUBLISHED and _is_run_of(theirs, row)
        else NONE
    )


def _is_run_of(config, row):
    """Returns whether a config, with its recipe, is a row's but for the precision."""
    ours = dataclasses.replace(row.config, seed=config.seed, mixed_precision=False)
    if (config.model, config.dataset) != (ours.model, ours.dataset):
        return False
    return resolve(config, NUM_IMAGES[config.dataset]).identity() == ours.identity()


def _accuracy(sample, digits):
    text = f"{sample.mean:.{digits}f}"
    return text if sample.n == 1 else f"{text} ± {sample.deviation:.{digits}f}"


def long_block(entries: Sequence[Entry]) -> str:
    """Returns the table for docs/results.md, and what belongs to it."""
    rows = rows_of(entries)
    heads = ["network", "weights", "ticket", "removed", "test top-1 / %", "thesis"]
    heads += ["published", "lead after epoch 1", "lead after the last"]
    texts = [
        [
            row.task,
            row.weights,
            row.names,
            row.rate + row.shares,
            _accuracy(row.top1(), 2),
            thesis_value(row),
            published_value(row),
            lead(row, rows, 0),
            lead(row, rows),
        ]
        for row in rows
    ]
    runs = {each.name: Outcome(dataclasses.asdict(each), [], None) for each in entries}
    spent = duration(spent_seconds(runs)).replace("\N{NO-BREAK SPACE}", " ")
    parts = [
        _markdown.table(heads, texts, texts=3),
        f"![Test accuracy by epoch]({PICTURE})",
        f"{counted(len(runs), 'run')}, {spent} in all.",
        *machine_sentences(runs),
        _missing(runs),
    ]
    return "\n\n".join(parts)


def _missing(there):
    """Returns a sentence about the runs that are planned and not there."""
    missing = [name for name in PLANNED if name not in there]
    if not missing:
        return f"All {len(PLANNED)} planned runs are there."
    by_network: dict[str, list[str]] = {}
    for name in missing:
        network, _, rest = name.partition("_")
        by_network.setdefault(TITLES[network], []).append(f"`{rest}`")
    listed = "; ".join(f"{key}: {', '.join(each)}" for key, each in by_network.items())
    return f"Not there yet, of {len(PLANNED)} planned runs: {listed}."


def short_block(entries: Sequence[Entry]) -> str:
    """Returns the table for README.md: a row an initialisation, a column a network."""
    rows = rows_of(entries)
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows:
        values = {"thesis": thesis_value(row), "published": published_value(row)}
        beside = [f"{name} {value}" for name, value in values.items() if value != NONE]
        text = _accuracy(row.top1(), 1) + (f" ({', '.join(beside)})" if beside else "")
        cells.setdefault((row.weights, row.rate + row.shares), {})[row.task] = text
    tasks = list(dict.fromkeys(row.task for row in rows))
    texts = [
        [*head, *(each.get(task, NONE) for task in tasks)]
        for head, each in cells.items()
    ]
    return _markdown.table(["weights", "removed", *tasks], texts, texts=2)


def draw(entries: Sequence[Entry]) -> Figure:
    """Returns a figure as the thesis's 5.3: a panel a network, a line a run."""
    rows = rows_of(entries)
    tasks = list(dict.fromkeys(row.task for row in rows))
    figure = Figure(figsize=(max(7.6, 4 * len(tasks)), 4.6), layout="constrained")
    axes = figure.subplots(1, len(tasks), squeeze=False)[0]
    panels = dict(zip(tasks, axes, strict=True))
    looks = styles(map(_label, rows))
    lines = {}
    for row in rows:
        look = looks[_label(row)]
        for entry in row.entries:
            epochs = [line["epoch"] for line in entry.rows]
            top1 = [100 * line["test_top1"] for line in entry.rows]
            (lines[_label(row)],) = panels[row.task].plot(
                epochs,
                top1,
                color=look.colour,
                linestyle=look.dashes,
                linewidth=1.2,
                marker="." if len(epochs) == 1 else "",
            )
    for task, axis in panels.items():
        axis.set_title(task)
        axis.set_xlabel("epoch")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("test accuracy / %")
    figure.legend(
        lines.values(),
        lines.keys(),
        loc="outside lower center",
        ncols=2,
        fontsize="small",
        frameon=False,
    )
    return figure


def _label(row):
    return f"{row.weights.replace('`', '')}, {row.rate} removed{row.shares}"


def write_tables(entries: Sequence[Entry], root: Path) -> None:
    """Writes the blocks of docs/results.md and README.md, and the picture."""
    _markdown.rewrite_block(root / "docs/results.md", BLOCK, long_block(entries))
    _markdown.rewrite_block(root / "README.md", BLOCK, short_block(entries))
    # Without the name of the program, so that equal pictures have equal bytes.
    picture = root / "docs" / PICTURE
    draw(entries).savefig(picture, dpi=120, metadata={"Software": None})
