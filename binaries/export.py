"""Exports a run's newest checkpoint; the name of the output decides the format.

python -m binaries.export --path=runs/my_run --output=my_model         # SavedModel
python -m binaries.export --path=runs/my_run --output=my_model.keras
python -m binaries.export --path=runs/my_run --output=my_model.onnx
python -m binaries.export --path=runs/my_run --output=my_model.tflite --precision=int8
python -m binaries.export --path=runs/my_run --output=my_model.ticket  # the small one
"""

from __future__ import annotations

import dataclasses

import numpy as np
from absl import flags

from binaries import _program
from tfsupermask.export import check_format, export_model, size_table
from tfsupermask.train import load_images, load_run

_REPRESENTATIVE_IMAGES = 200

_PATH = flags.DEFINE_string("path", None, "Run folder.", required=True)
_OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "File that ends in .keras, .tflite, .onnx or .ticket; without a suffix the folder "
    "of a SavedModel. An older one is replaced.",
    required=True,
)
_PRECISION = flags.DEFINE_string(
    "precision",
    "float32",
    "Precision of the weights: float32; for .tflite also float16 and int8 (with int8 "
    "activations), for .ticket also float16 and bfloat16.",
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    f"Folder of the images, only for int8, which needs {_REPRESENTATIVE_IMAGES} "
    "training images for the ranges of its numbers (default: the run's).",
)


def main(argv):
    """Exports; prints the path and a table of sizes."""
    _program.refuse_arguments(argv)
    check_format(_OUTPUT.value, _PRECISION.value)
    _program.require(
        _DATA_DIR.value is None or _PRECISION.value == "int8",
        "`--data_dir` is for --precision=int8 alone.",
    )
    run = load_run(_PATH.value)
    images = _training_images(run.config) if _PRECISION.value == "int8" else None
    path = export_model(
        run.model,
        _OUTPUT.value,
        run.mean,
        run.std,
        run.class_names,
        precision=_PRECISION.value,
        representative_images=images,
        recipe=dataclasses.asdict(run.config),
    )
    print(f"{path}: {run.config.model} after epoch {run.epoch}")
    print(size_table(run.model, path))


def _training_images(config):
    images = load_images(config, _DATA_DIR.value).train.images
    rng = np.random.default_rng(config.seed)
    count = min(_REPRESENTATIVE_IMAGES, len(images))
    return images[rng.choice(len(images), count, replace=False)]


if __name__ == "__main__":
    _program.start(main)
