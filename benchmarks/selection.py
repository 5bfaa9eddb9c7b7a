"""What the rules that select clusters make of a first layer: colour and variety.

    python -m benchmarks.selection --data_dir=…
    python -m benchmarks.selection --quick

Whitened patterns of 64 filters of 3×3 from few images, by each rule of `--select`, and
by low entropy, the thesis's rule for discriminative layers. Colour is the share of the
filters' power in the differences of their channels; the rank is the effective rank of
the filters, at most 27. docs/beyond.md has what was found.
"""

from __future__ import annotations

from binaries import _program, _tensorflow  # noqa: F401 before TensorFlow, silenced

# isort: split
import numpy as np
from absl import flags

from benchmarks import _markdown
from tfsupermask import data, models
from tfsupermask.init import PatchesInit, Variant
from tfsupermask.init.diagnostics import effective_rank
from tfsupermask.patches import SAMPLES_PER_IMAGE

_DATASET = flags.DEFINE_enum(
    "dataset", "cifar10", ("digits", "cifar10", "cifar100"), "Images."
)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Where they are.")
_NUMBERS = flags.DEFINE_multi_integer(
    "number", [10, 25, 100], "Images a class; may be given several times.", 1
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of everything random.")
_QUICK = flags.DEFINE_boolean("quick", False, "Ten digits a class.")

MOST_PATCHES, MOST_CLUSTERS = 50_000, 500
# Name → fields of the variant, and the first layer of low entropy.
RULES = {
    "high entropy": ({"select": "entropy"}, None),
    "low entropy": ({"select": "entropy"}, 1),
    "linear": ({"select": "linear"}, None),
    "largest": ({"select": "size"}, None),
    "any": ({"select": "random"}, None),
}


def filters(dataset, fields, discriminative_from, seed):
    """Returns the filters (3, 3, 3, 64) of a rule."""
    model = models.build("conv2", num_classes=dataset.num_classes)
    num_patches = min(MOST_PATCHES, SAMPLES_PER_IMAGE * len(dataset.train))
    PatchesInit(
        num_patches,
        min(MOST_CLUSTERS, num_patches),
        discriminative_from,
        seed=seed,
        only="conv1",
        variant=Variant(cluster_space="whitened", filter_space="whitened", **fields),
    ).apply(
        model,
        dataset.train.images,
        dataset.train.labels,
        lambda images: (np.float32(images) / 255 - dataset.mean) / dataset.std,
    )
    return model.get_layer("conv1").kernel.numpy()


def colour(kernel):
    """Returns the share of a kernel's power in the differences of its channels."""
    differences = kernel - kernel.mean(axis=2, keepdims=True)
    return float(np.square(differences).sum() / np.square(kernel).sum())


def main():
    """Prints the table."""
    quick = _QUICK.value
    dataset = data.load("digits" if quick else _DATASET.value, _DATA_DIR.value)
    numbers = [10] if quick else _NUMBERS.value
    rows = []
    for rule, options in RULES.items():
        cells = []
        for number in numbers:
            few = data.limit(dataset, number * dataset.num_classes)
            kernel = filters(few, *options, _SEED.value)
            rank = effective_rank(kernel.reshape(-1, kernel.shape[-1]))
            cells.append(f"{colour(kernel):.2f}, {rank:.1f}")
        rows.append([rule, *cells])
    heads = [f"{number} a class: colour, rank" for number in numbers]
    print(_markdown.table(["clusters", *heads], rows))


if __name__ == "__main__":
    _program.start(main)
