"""Time, peak memory and entropies of PatchesInit by P and C (Tables 5.3 and 5.4).

    python -m benchmarks.init --dataset=cifar10 --data_dir=… --output=init.json
    python -m benchmarks.init --quick

Each configuration runs in its own process. Memory is the largest amount during the
initialisation, beyond that of the loaded dataset and model. The minutes of the thesis
are from its own machine, on CIFAR-100.
"""

from __future__ import annotations

import math
import time

from binaries import _program, _tensorflow  # noqa: F401 before TensorFlow, silenced

# isort: split
from absl import flags
from matplotlib.figure import Figure

from benchmarks import _measure
from tfsupermask import data, init, models

_DATASET = flags.DEFINE_enum("dataset", "digits", data.NAMES, "Images.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Where they are.")
_MODEL = flags.DEFINE_enum("model", "conv6", models.names(), "Network.")
_ONLY = flags.DEFINE_list("only", [], "Numbers of patches to run; default: all.")
_LAYER = flags.DEFINE_string(
    "layer", None, "Name of the one convolution to initialise; default: all."
)

# P, C (None: SimpleInit), minutes of Table 5.3
CONFIGURATIONS = [
    (10_000, None, 2.0),
    (50_000, 500, 11.5),
    (100_000, 1_000, 23.4),
    (200_000, 2_000, 41.6),
    (500_000, 5_000, 147.1),
    (1_000_000, 10_000, 308.9),
]
STAGES = ("extract", "reduce", "cluster", "select", "assign")


def measure(dataset_name, data_dir, model_name, layer, num_patches, num_clusters):
    """Returns the figures of one configuration."""
    dataset = data.load(dataset_name, data_dir)
    model = models.build(model_name, dataset.image_shape, dataset.num_classes)
    only = None if layer is None else [layer]
    patches_init = init.PatchesInit(num_patches, num_clusters, only=only, verbose=True)
    start = time.perf_counter()
    with _measure.PeakMemory() as memory:
        report = patches_init.apply(
            model, dataset.train.images, dataset.train.labels, dataset.normalise
        )
    return {
        "num_patches": num_patches,
        "num_clusters": num_clusters,
        "seconds": time.perf_counter() - start,
        "peak_bytes": memory.bytes,
        "layers": {layer.layer: layer.seconds for layer in report.layers},
        "entropies": [layer.mean_entropy for layer in report.layers],
        "max_entropy": math.log2(dataset.num_classes),
    }


def stage_seconds(result):
    """Returns the seconds of each stage, over all layers."""
    layers = result["layers"].values()
    return {stage: sum(seconds[stage] for seconds in layers) for stage in STAGES}


def row(result):
    """Returns the table's row for one configuration."""
    return [
        f"{result['num_patches']:,}",
        str(result["num_clusters"] or "Simple"),
        f"{result['seconds'] / 60:.2f}",
        f"{result['thesis_minutes']:.1f}",
        *(f"{stage_seconds(result)[stage]:.1f}" for stage in STAGES[:3]),
        f"{result['peak_bytes'] / 2**30:.2f}",
        "  ".join(f"{value:.2f}" for value in result["entropies"]),
    ]


def draw(results):
    """Returns the figure of growth: time and memory against P, C growing with it."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    sizes = [result["num_patches"] for result in results]
    ticks = [f"{r['num_patches']:,}\nC {r['num_clusters'] or '–'}" for r in results]
    left.plot(sizes, [60 * r["thesis_minutes"] for r in results], "k:", label="thesis")
    left.plot(sizes, [r["seconds"] for r in results], "o-", label="all")
    for stage in STAGES[:3]:
        seconds = [stage_seconds(result)[stage] for result in results]
        left.plot(sizes, seconds, ".-", lw=1, label=stage)
    left.set(yscale="log", ylabel="seconds")
    left.legend()
    right.plot(sizes, [r["peak_bytes"] / 2**30 for r in results], "o-")
    right.set(ylim=(0, None), ylabel="peak memory / GiB")
    for axes in (left, right):
        axes.set(xscale="log", xlabel="patches P a layer, and clusters C")
        axes.set_xticks(sizes, ticks, fontsize=7)
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    return figure


def main():
    """Measures every configuration; prints a table, writes JSON and a picture."""
    print(_measure.describe())
    print(f"{_MODEL.value} on {_DATASET.value}")
    configurations = CONFIGURATIONS[: 2 if _measure.QUICK.value else None]
    if _ONLY.value:
        wanted = {int(number) for number in _ONLY.value}
        configurations = [c for c in CONFIGURATIONS if c[0] in wanted]
    results = []
    for num_patches, num_clusters, minutes in configurations:
        where = _DATASET.value, _DATA_DIR.value, _MODEL.value, _LAYER.value
        try:
            result = _measure.in_process(measure, *where, num_patches, num_clusters)
        except RuntimeError as error:
            print(error, flush=True)
            continue
        results.append({**result, "thesis_minutes": minutes})
        # Saved now, in case the next one takes too long.
        _measure.save({"configurations": results}, draw(results))
    heads = ["P", "C", "minutes", "thesis", *(f"{s} / s" for s in STAGES[:3])]
    _measure.print_table(
        [*heads, "peak GiB", "mean entropy by layer"], [row(r) for r in results]
    )


if __name__ == "__main__":
    _program.start(main)
