"""Classifies image files.

python -m binaries.predict --path=runs/my_run cat.jpg dog.png
python -m binaries.predict --path=my_model.tflite cat.jpg
python -m binaries.predict --path=zoo:conv2_signed_constant_s0 cat.jpg
"""

from __future__ import annotations

import sys

import numpy as np
from absl import flags

from binaries import _program
from tfsupermask import InputError, export, train
from tfsupermask.data import decode_image
from tfsupermask.runs import RunFolder

_PATH = flags.DEFINE_string(
    "path",
    None,
    "Run folder, exported model, or a trained ticket of the zoo as zoo:NAME.",
    required=True,
)
_TOP = flags.DEFINE_integer("top", 3, "Number of classes to print for each image.", 1)


def main(argv):
    """Prints the most probable classes of each file, and an error for each bad one."""
    _program.require(argv, "Name at least one image file after the flags.")
    path = _program.existing(_PATH.value)
    _program.load_tensorflow()
    classifier = _classifier(path)
    files, images = [], []
    for file in argv:
        try:
            images.append(decode_image(file, classifier.image_shape[0]))
            files.append(file)
        except InputError as error:
            print(f"error: {_program.one_line(str(error))}", file=sys.stderr)
    rows = classifier.probabilities(np.stack(images)) if images else ()
    for file, row in zip(files, rows, strict=True):
        best = np.argsort(-row, kind="stable")[: _TOP.value]
        named = [f"{classifier.class_names[i]} {row[i]:.4f}" for i in best]
        print(f"{file}: {', '.join(named)}")
    if len(files) < len(argv):
        sys.exit(1)


def _classifier(path):
    """Returns the classifier in a file, or of the newest checkpoint of a run."""
    if export.is_export(path):
        return export.Classifier(path)
    try:
        return train.load_run(path)
    except InputError:  # perhaps of a network of one's own, which its export holds
        exported = RunFolder(path).saved_model
        if not exported.exists():
            raise
        return export.Classifier(exported)


if __name__ == "__main__":
    _program.start(main, takes_arguments=True)
