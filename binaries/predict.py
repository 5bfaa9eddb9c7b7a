"""Classifies image files.

python -m binaries.predict --path=runs/my_run cat.jpg dog.png
python -m binaries.predict --path=my_model.tflite cat.jpg
python -m binaries.predict --path=zoo:conv2_signed_constant_s0 cat.jpg
"""

from __future__ import annotations

import numpy as np
from absl import flags

from binaries import _program
from tfsupermask import zoo
from tfsupermask.data import decode_image
from tfsupermask.export import Classifier
from tfsupermask.runs import RunFolder

_PATH = flags.DEFINE_string(
    "path",
    None,
    "Run folder, exported model, or a trained ticket of the zoo as zoo:NAME.",
    required=True,
)
_TOP = flags.DEFINE_integer("top", 3, "Number of classes to print for each image.", 1)


def main(argv):
    """Prints the most probable classes of each file."""
    _program.require(argv, "Name at least one image file after the flags.")
    path = zoo.resolve(_PATH.value)
    of_run = RunFolder(path).saved_model
    classifier = Classifier(of_run if of_run.exists() else path)
    images = np.stack([decode_image(f, classifier.image_shape[0]) for f in argv])
    for file, row in zip(argv, classifier.probabilities(images), strict=True):
        best = np.argsort(-row, kind="stable")[: _TOP.value]
        named = [f"{classifier.class_names[i]} {row[i]:.4f}" for i in best]
        print(f"{file}: {', '.join(named)}")


if __name__ == "__main__":
    _program.start(main)
