"""Time, peak memory and entropies of PatchesInit against P and C (Tables 5.3 and 5.4).

    python -m benchmarks.init --dataset=cifar10 --data_dir=… --output=init.json
    python -m benchmarks.init --quick

Each configuration runs in a process of its own. Memory is what the process holds at
most during the initialisation, beyond what it held with the dataset and the model
loaded. The minutes of the thesis are its own machine's, on CIFAR-100.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import threading
import time
from pathlib import Path

from absl import flags

from binaries import _program
from tfsupermask import data, init, models

_DATASET = flags.DEFINE_enum("dataset", "digits", data.NAMES, "Images.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Where they are.")
_MODEL = flags.DEFINE_enum("model", "conv6", models.names(), "Network.")
_QUICK = flags.DEFINE_boolean("quick", False, "Only the two smallest configurations.")
_ONLY = flags.DEFINE_list("only", [], "Numbers of patches to run; default: all.")
_LAYER = flags.DEFINE_string(
    "layer", None, "Name of the one convolution to initialise; default: all."
)
_OUTPUT = flags.DEFINE_string("output", None, "JSON file to write.")

# P, C (None: SimpleInit), minutes of Table 5.3
CONFIGURATIONS = [
    (10_000, None, 2.0),
    (50_000, 500, 11.5),
    (100_000, 1_000, 23.4),
    (200_000, 2_000, 41.6),
    (500_000, 5_000, 147.1),
    (1_000_000, 10_000, 308.9),
]


def resident_bytes() -> int:
    """Returns the memory that this process holds now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class PeakMemory:
    """The most memory held in a `with` block beyond that held at its start, bytes."""

    def __enter__(self):
        self._start = self._most = resident_bytes()
        self._done = threading.Event()
        self._watch = threading.Thread(target=self._run)
        self._watch.start()
        return self

    def _run(self):
        while not self._done.wait(0.02):
            self._most = max(self._most, resident_bytes())

    def __exit__(self, *exception):
        self._done.set()
        self._watch.join()
        self.bytes = self._most - self._start


def measure(pipe, dataset_name, data_dir, model_name, layer, num_patches, num_clusters):
    """Runs one configuration and sends its figures through `pipe`."""
    dataset = data.load(dataset_name, data_dir)
    model = models.build(model_name, dataset.image_shape, dataset.num_classes)
    start = time.perf_counter()
    with PeakMemory() as memory:
        only = None if layer is None else [layer]
        report = init.PatchesInit(
            num_patches, num_clusters, only=only, verbose=True
        ).apply(
            model,
            dataset.train.images,
            dataset.train.labels,
            lambda images: ((images / 255 - dataset.mean) / dataset.std).astype(
                "float32"
            ),
        )
    seconds = time.perf_counter() - start
    stages = {}
    for layer in report.layers:
        for stage, spent in layer.seconds.items():
            stages[stage] = stages.get(stage, 0.0) + spent
    pipe.send(
        {
            "num_patches": num_patches,
            "num_clusters": num_clusters,
            "seconds": seconds,
            "peak_bytes": memory.bytes,
            "stages": stages,
            "entropies": [layer.mean_entropy for layer in report.layers],
            "max_entropy": math.log2(dataset.num_classes),
        }
    )


def main(argv):
    """Measures every configuration and prints a table row for each."""
    _program.refuse_arguments(argv)
    configurations = CONFIGURATIONS[: 2 if _QUICK.value else None]
    if _ONLY.value:
        wanted = {int(number) for number in _ONLY.value}
        configurations = [c for c in CONFIGURATIONS if c[0] in wanted]
    print(f"{_MODEL.value} on {_DATASET.value}, {os.cpu_count()} cores")
    print(
        "|         P |      C | minutes | thesis | peak GiB | mean entropy by layer |"
    )
    print(
        "| --------: | -----: | ------: | -----: | -------: | --------------------- |"
    )
    results = []
    context = multiprocessing.get_context("spawn")
    for num_patches, num_clusters, minutes in configurations:
        mine, theirs = context.Pipe(duplex=False)
        process = context.Process(
            target=measure,
            args=(
                theirs,
                _DATASET.value,
                _DATA_DIR.value,
                _MODEL.value,
                _LAYER.value,
                num_patches,
                num_clusters,
            ),
        )
        process.start()
        theirs.close()
        try:
            row = mine.recv()
        except EOFError:
            print(f"| {num_patches:9,} | failed, see above |")
            continue
        finally:
            process.join()
        results.append({**row, "thesis_minutes": minutes})
        entropies = "  ".join(f"{value:.2f}" for value in row["entropies"])
        print(
            f"| {num_patches:9,} | {num_clusters or 'Simple':>6} | "
            f"{row['seconds'] / 60:7.2f} | {minutes:6.1f} | "
            f"{row['peak_bytes'] / 2**30:8.2f} | {entropies} |",
            flush=True,
        )
        if _OUTPUT.value:
            Path(_OUTPUT.value).write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    _program.start(main)
