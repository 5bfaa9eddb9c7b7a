import dataclasses
import shutil
import warnings

import numpy as np
import pytest

from tests.small import small_digits
from tfsupermask import data
from tfsupermask.report import collect_run
from tfsupermask.runs import Config
from tfsupermask.train import run as train

HOSTILE_NAMES = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "&lt;b&gt;",
    "javascript:alert(1)",
    "</style></svg><b>",
    "{{ 7 * 7 }}",
    "Straße",
    "url(https://example.org/x)",
    "9",
)


@pytest.fixture(scope="session")
def digits():
    """Small digits whose classes have names that want to be markup."""
    return small_digits(192, HOSTILE_NAMES)


@pytest.fixture(scope="session")
def made(digits, tmp_path_factory):
    """Run folders by name: `patches` is done, `kaiming` has 1 of 3 epochs."""
    root = tmp_path_factory.mktemp("runs")
    common = {"model": "conv2", "epochs": 3, "batch_size": 64}
    patches = Config(num_patches=500, num_clusters=80, prune=0.7, **common)
    kaiming = Config(init="kaiming_normal", stop_after_epoch=1, **common)
    configs = {"patches": patches, "kaiming": kaiming}
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # there are few clusters in so few images
        patch.setattr(data, "load", lambda *args, **options: digits)
        for name, config in configs.items():
            train(dataclasses.replace(config, workdir=str(root / name)))
    return {name: root / name for name in configs}


@pytest.fixture(scope="session")
def runs(made, digits):
    """What those folders hold, by name."""
    return {
        name: collect_run(made[name], load=lambda *_, **options: digits)
        for name in made
    }


@pytest.fixture
def folder(made, tmp_path):
    """A copy of the finished run to harm, in a folder with a name that wants out."""
    path = tmp_path / "run \"1\" <i>&amp; 'x'"
    return shutil.copytree(made["patches"], path)


@pytest.fixture
def load(digits):
    """Loads the small digits, whatever is asked for."""
    return lambda *args, **options: digits


@pytest.fixture
def rng():
    return np.random.default_rng(0)
