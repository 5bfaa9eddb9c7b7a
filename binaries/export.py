"""Exports a run's newest checkpoint, or a ticket; the output's name says the format.

python -m binaries.export --path=runs/my_run --output=my_model         # SavedModel
python -m binaries.export --path=runs/my_run --output=my_model.keras
python -m binaries.export --path=runs/my_run --output=my_model.onnx
python -m binaries.export --path=runs/my_run --output=my_model.tflite --precision=int8
python -m binaries.export --path=runs/my_run --output=my_model.ticket  # the small one
python -m binaries.export --path=my_model.ticket --output=my_model.onnx
python -m binaries.export --path=zoo:conv2_signed_constant_s0 --output=my_model.keras
"""

from __future__ import annotations

import numpy as np
from absl import flags

from binaries import _program
from tfsupermask import export, tickets, train
from tfsupermask.runs import Config

_REPRESENTATIVE_IMAGES = 200

_PATH = flags.DEFINE_string(
    "path",
    None,
    "Run folder, ticket, or a trained ticket of the zoo as zoo:NAME.",
    required=True,
)
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


def main():
    """Exports; prints the path and a table of sizes."""
    suffix = export.check_format(_OUTPUT.value, _PRECISION.value)
    _program.require(
        _DATA_DIR.value is None or _PRECISION.value == "int8",
        "`--data_dir` is for --precision=int8 alone.",
    )
    source = _program.existing(_PATH.value)
    _program.load_tensorflow()
    if source.suffix == ".ticket" and source.is_file():
        made = tickets.load_ticket(source)
        config, recipe, whence = None, made.recipe, f"of {source.name}"
    else:
        made = train.load_run(source)
        config, recipe = made.config, made.config.identity()
        whence = f"after epoch {made.epoch}"
    int8 = _PRECISION.value == "int8"
    images = _training_images(config, recipe) if int8 else None
    path = export.export_model(
        made.model,
        _OUTPUT.value,
        made.mean,
        made.std,
        # Without images as inputs, tickets alone hold the names of the logits.
        made.class_names if made.mean is not None or suffix == ".ticket" else None,
        precision=_PRECISION.value,
        representative_images=images,
        recipe=recipe if suffix == ".ticket" else None,
    )
    print(f"{path}: {made.model.name} {whence}")
    print(export.size_table(made.model, path))


def _training_images(config, recipe):
    _program.require(
        config or (recipe or {}).get("dataset"),
        "int8 needs a ticket with the recipe of its run.",
    )
    config = config or Config.from_saved({"data_dir": _DATA_DIR.value} | recipe)
    images = train.load_images(config, _DATA_DIR.value, patterns=False).train.images
    rng = np.random.default_rng(config.seed)
    count = min(_REPRESENTATIVE_IMAGES, len(images))
    return images[rng.choice(len(images), count, replace=False)]


if __name__ == "__main__":
    _program.start(main)
