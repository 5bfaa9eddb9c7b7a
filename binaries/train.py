"""Finds a supermask: initialises a network, trains its scores, evaluates, exports.

Without flags it runs conv2 on handwritten digits, which needs no download:

    python -m binaries.train

The experiment of the thesis:

    python -m binaries.train --model=conv6 --dataset=cifar100 --prune=0.5

Your own images, with a sub-folder for each class:

    python -m binaries.train --model=conv4 --dataset=folder --data_dir=my_images

All results are in a folder under runs/. The same command again goes on where the last
one stopped.
"""

from __future__ import annotations

import shlex
import sys

from absl import flags

from binaries import _program
from tfsupermask import runs, train

_program.define_flags(runs.Config, runs.described_default)
flags.adopt_module_key_flags(_program)  # for --help


def main(argv):
    """Runs the configuration that the flags describe."""
    _program.refuse_arguments(argv)
    config = _program.from_flags(runs.Config).validate()
    _program.load_tensorflow()
    command = shlex.join(["python", "-m", "binaries.train", *sys.argv[1:]])
    train.run(config, command)


if __name__ == "__main__":
    _program.start(main)
