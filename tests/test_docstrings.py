import doctest
import importlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfsupermask import models


@pytest.mark.parametrize(
    "name",
    [
        "ops.accuracy",
        "ops.fans",
        "ops.masking",
        "ops.seeds",
        "layers.conv",
        "layers.dense",
        "layers.supermask",
        "models.blocks",
        "models.parts",
        "models.registry",
        "patches.clustering",
        "patches.patterns",
        "patches.proposals",
        "patches.sampling",
        "patches.selection",
        "init.baselines",
    ],
)
def test_examples_print_what_they_say(name):
    module = importlib.import_module(f"tfsupermask.{name}")
    known = {"keras": keras, "models": models, "np": np, "tf": tf}
    results = doctest.testmod(module, extraglobs=known)
    assert results.attempted > 0
    assert results.failed == 0
