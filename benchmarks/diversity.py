"""Why patterns fail in deep layers, and what whitening and unit power change.

    python -m benchmarks.diversity --data_dir=… --output=DIR
    python -m benchmarks.diversity --quick --output=DIR

docs/beyond.md has what was found. Each initialisation is that of a run that ends before
its first epoch. `tfsupermask.init.diagnose` measures it on training images, with equal
numbers for all classes, for all convolutions larger than 1×1:

- mean |cosine| between two filters: 0 for orthogonal ones, 1 for copies;
- effective rank of the filters without their masks, and of the output with them, over
  images and positions, which is at most the number of values in a filter: 27 in a first
  convolution of 3×3 in colour;
- root mean square of the output, before the activation.

For PatchesInit the inputs of the convolutions are also measured, as patches: the share
of their power in the mean patch, and the share of the rest in the first five principal
directions.

The files are `diversity.json`, `diversity.md`, `diversity.png` (these measures) and
`filters.png` (pictures of filters).
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import tempfile
from pathlib import Path

from binaries import _program, _tensorflow  # noqa: F401 before TensorFlow, silenced

# isort: split
import keras
import matplotlib
import numpy as np
from absl import flags

from benchmarks import _diversity_pictures as pictures
from benchmarks import _markdown, _measure
from tfsupermask import data, init, models, runs, train
from tfsupermask.patches.reduction import survey
from tfsupermask.sparsity import ALLOCATIONS

_FIELDS = (  # of the runs
    flags.DEFINE_enum("model", "conv4", models.names(), "Network."),
    flags.DEFINE_enum("dataset", "cifar10", data.NAMES, "Images."),
    flags.DEFINE_string("data_dir", None, "Where they are."),
    flags.DEFINE_float("prune", 0.5, "Sparsity."),
    flags.DEFINE_enum(
        "allocation", "uniform", ALLOCATIONS, "How the sparsity is shared among layers."
    ),
    flags.DEFINE_integer("seed", 0, "Seed of everything random."),
    flags.DEFINE_integer(
        "num_patches", None, "P, patches of each layer; default: the recipe's."
    ),
    flags.DEFINE_integer(
        "num_clusters", None, "C, clusters of each layer; default: the recipe's."
    ),
)
_LAYER = flags.DEFINE_string(
    "layer", None, "Name of the deep convolution to draw filters of; default: the last."
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "Folder to write to.", allow_override=True
)

KAIMING, PATTERNS, WHITENED = "Kaiming normal", "PatchesInit", "whitened"
# Name → fields of the run.
INITIALISATIONS = {
    KAIMING: {"init": "kaiming_normal"},
    "signed constant": {"init": "signed_constant"},
    PATTERNS: {"init": "patches"},
    "centred": {
        "init": "patches",
        "cluster_space": "centred",
        "filter_space": "centred",
    },
    WHITENED: {
        "init": "patches",
        "cluster_space": "whitened",
        "filter_space": "whitened",
        "rest": "kaiming_normal",
    },
    "whitened first layer, rest signed constant, unit power": {
        "init": "whitened_patches",
        "patch_layers": 1,
    },
}
# Name → name of the same, rescaled.
RESCALED = {name: f"{name}, unit power" for name in (PATTERNS, WHITENED)}
DRAWN = (KAIMING, PATTERNS, WHITENED)

NUM_IMAGES, QUICK_IMAGES = 250, 50
MAX_COLUMNS = 6
LEADING = 5
QUICK = {"dataset": "digits", "num_patches": 2000, "num_clusters": 200}

# The measures, and their formats in tables.
MEASURES = {
    "cosine": ("mean absolute cosine of filters", "{:.3f}"),
    "filter_rank": ("effective rank of filters", "{:.1f}"),
    "output_rank": ("effective rank of output", "{:.1f}"),
    "output_scale": ("root mean square of output", "{:.3g}"),
}


def initialised(config):
    """Returns a run that has only been initialised."""
    with tempfile.TemporaryDirectory() as folder:
        config = dataclasses.replace(config, workdir=folder)
        # Its messages are about a temporary folder.
        with contextlib.redirect_stdout(io.StringIO()), train.Job.open(config):
            pass
        return train.load_run(folder)


def diagnose(run, images):
    """Returns the measures, a dict for each convolution larger than 1×1."""
    names = _convolutions(run.model)
    found = init.diagnose(run.model, images, run.normalise)
    return [dataclasses.asdict(each) for each in found if each.layer in names]


def receive(run, images):
    """Returns shares of the power in each convolution's input, a dict for each."""
    shares = []
    for name in _convolutions(run.model):
        layer = run.model.get_layer(name)
        maps = keras.Model(run.model.input, layer.input)(run.normalise(images))
        patches = keras.ops.image.extract_patches(
            maps, layer.kernel_size, layer.strides
        ).numpy()
        found = survey([patches.reshape(-1, patches.shape[-1])])
        mean = float(found.mean @ found.mean)
        variances = np.linalg.eigvalsh(found.covariance)[::-1]
        shares.append(
            {
                "layer": name,
                "values": len(variances),
                "mean": mean / (mean + variances.sum()),
                "leading": variances[:LEADING].sum() / variances.sum(),
            }
        )
    return shares


def measure(config, dataset, images, deep=None):
    """Returns name → layers' figures, name → filters to draw, and inputs' shares."""
    found, filters, inputs = {}, {}, []
    for name, fields in INITIALISATIONS.items():
        print(name, flush=True)
        if fields["init"] not in runs.PATCH_INITS:
            fields = {**fields, "num_patches": None, "num_clusters": None}
        run = initialised(dataclasses.replace(config, **fields))
        found[name] = diagnose(run, images)
        if name == PATTERNS:
            inputs = receive(run, images)
        if name in DRAWN:
            filters[name] = _filters(run.model, found[name], deep)
        if name in RESCALED:
            train_images, labels = dataset.train.images, dataset.train.labels
            init.unit_power(run.model, train_images, labels, run.normalise, config.seed)
            found[RESCALED[name]] = diagnose(run, images)
    return found, filters, inputs


def _convolutions(model):
    return list(itertools.chain(*models.convolution_blocks(model)))


def _filters(model, layers, deep):
    """Returns the first and a deep convolution's filters, with their figures."""
    by_name = {layer["layer"]: layer for layer in layers}
    chosen = layers[0], by_name[deep or layers[-1]["layer"]]
    return [
        (np.moveaxis(model.get_layer(layer["layer"]).kernel.numpy(), -1, 0), layer)
        for layer in chosen
    ]


def tables(found, inputs):
    """Returns Markdown tables: each measure, and the inputs of PatchesInit's layers.

    Columns are convolutions with their numbers of filters, at most six.
    """
    layers = next(iter(found.values()))
    count = min(MAX_COLUMNS, len(layers))
    shown = np.linspace(0, len(layers) - 1, count).round().astype(int)
    heads = [f"{layers[i]['layer']}, {layers[i]['num_filters']}" for i in shown]
    texts = []
    for key, (title, form) in MEASURES.items():
        rows = [
            [name, *(form.format(each[i][key]) for i in shown)]
            for name, each in found.items()
        ]
        texts.append(_markdown.table([title, *heads], rows))
    heads = [f"{inputs[i]['layer']}, {inputs[i]['values']}" for i in shown]
    rows = [
        [title, *(f"{inputs[i][key]:.2f}" for i in shown)]
        for key, title in (
            ("mean", "power in the mean patch"),
            ("leading", f"variance in {LEADING} directions"),
        )
    ]
    texts.append(_markdown.table([f"shares of the input, {PATTERNS}", *heads], rows))
    return "".join(f"\n{text}\n" for text in texts)


def main():
    """Measures all initialisations; prints tables, and writes files if asked to."""
    print(_measure.describe())
    config = _config()
    dataset = train.load_images(config)
    deep = _LAYER.value
    if deep is not None:
        _check_layer(config.model, deep)
    count = QUICK_IMAGES if _measure.QUICK.value else NUM_IMAGES
    images = data.limit(dataset, min(count, len(dataset.train))).train.images
    about = (
        f"{config.model} on {config.dataset}, sparsity {config.prune:g} "
        f"({config.allocation}), "
        f"{_patches(config, dataset)}, seed {config.seed}, {len(images)} images"
    )
    print(about, flush=True)
    found, filters, inputs = measure(config, dataset, images, deep)
    text = tables(found, inputs)
    print(text, end="")
    if _OUTPUT.value is not None:
        _write(Path(_OUTPUT.value), about, text, found, filters, inputs)


def _config():
    fields = {flag.name: flag.value for flag in _FIELDS} | {"strategy": "single"}
    return runs.Config(**fields | (QUICK if _measure.QUICK.value else {})).validate()


def _patches(config, dataset):
    resolved = runs.resolve(config, len(dataset.train))
    return f"P {resolved.num_patches:,}, C {resolved.num_clusters:,}"


def _check_layer(model, layer):
    names = _convolutions(models.build(model))
    if layer not in names:
        raise _program.InputError(
            f"--layer must be one of {', '.join(names)}. Received: {layer}"
        )


def _write(folder, about, text, found, filters, inputs):
    folder.mkdir(parents=True, exist_ok=True)
    results = {"about": about, "layers": found, "inputs": inputs}
    _measure.save(results, path=folder / "diversity.json")
    (folder / "diversity.md").write_text(f"{about}\n{text}", encoding="utf-8")
    figures = {
        "diversity": pictures.draw_measures(found, RESCALED, about),
        "filters": pictures.draw_filters(filters, about),
    }
    with matplotlib.rc_context({"savefig.dpi": 110}):
        for name, figure in figures.items():
            figure.savefig(folder / f"{name}.png")


if __name__ == "__main__":
    _program.start(main)
