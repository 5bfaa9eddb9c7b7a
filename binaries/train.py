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

import dataclasses
import shlex
import sys

from absl import flags

from binaries import _program
from tfsupermask import runs, train

_DEFINE = {  # by the type of a field; it may be None as well
    "bool": flags.DEFINE_boolean,
    "int": flags.DEFINE_integer,
    "float": flags.DEFINE_float,
    "str": flags.DEFINE_string,
}

_FIELDS = dataclasses.fields(runs.Config)
for _field in _FIELDS:
    _default = runs.described_default(_field.name)
    _help = f"{_field.metadata['help']} {_default}".rstrip()
    _DEFINE[_field.type.removesuffix(" | None")](_field.name, _field.default, _help)


def config_from_flags() -> runs.Config:
    """Returns the configuration that the flags describe, if it is valid."""
    values = {field.name: flags.FLAGS[field.name].value for field in _FIELDS}
    return runs.Config(**values).validate()


def main():
    """Runs the configuration that the flags describe."""
    config = config_from_flags()
    _program.load_tensorflow()
    command = shlex.join(["python", "-m", "binaries.train", *sys.argv[1:]])
    train.run(config, command)


if __name__ == "__main__":
    _program.start(main)
