"""An interrupted PatchesInit goes on, and only where the files are its own."""

import shutil

import keras
import numpy as np
import pytest

from tests.init.common import (
    assert_same_kernels,
    convolutions,
    preprocess,
    residual_net,
    two_masked_layers,
    values_of,
)
from tfsupermask import patches as patches_package
from tfsupermask.init import PatchesInit, Variant
from tfsupermask.patches import cluster


class Interrupt(BaseException):
    pass


@pytest.fixture
def clustered(monkeypatch):
    """Counts the layers that are clustered; interrupts behind as many as it says."""

    class Counted:
        layers, interrupt_after = 0, None

        def __call__(self, *args):
            if self.layers == self.interrupt_after:
                raise Interrupt
            self.layers += 1
            return cluster(*args)

    counted = Counted()
    monkeypatch.setattr(patches_package, "cluster", counted)
    return counted


@pytest.fixture(scope="module")
def residual(small):
    """What PatchesInit makes of `residual_net` without an interruption."""
    model = residual_net()
    return model, PatchesInit(600, 20, seed=1).apply(model, *small, preprocess)


@pytest.fixture(scope="module")
def finished(small, tmp_path_factory):
    """A network with all layers done, and the folder that says so."""
    folder, model = tmp_path_factory.mktemp("finished"), two_masked_layers()
    PatchesInit(300, 20).apply(model, *small, preprocess, folder)
    return model, folder


@pytest.mark.parametrize("layers_done", [0, 3])
def test_interrupted_goes_on_at_the_layer_it_was_in(
    small, clustered, tmp_path, residual, layers_done
):
    whole, expected = residual
    init, folder = PatchesInit(600, 20, seed=1), tmp_path / "progress"
    clustered.interrupt_after = layers_done
    with pytest.raises(Interrupt):
        init.apply(residual_net(), *small, preprocess, folder)
    clustered.interrupt_after = None
    resumed = residual_net()
    report = init.apply(resumed, *small, preprocess, folder)
    assert clustered.layers == 5
    for path, value in values_of(resumed).items():
        np.testing.assert_array_equal(value, values_of(whole)[path], err_msg=path)
    for mine, theirs in zip(report.layers, expected.layers, strict=True):
        assert mine.mean_entropy == theirs.mean_entropy
        for name in ("image", "row", "column", "sizes"):
            np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name))


@pytest.mark.parametrize(
    "options",
    [
        {"seed": 2},
        {"num_components": 5},
        {"double_from": 1},
        {"variant": Variant(cluster_space="centred")},
        {"variant": Variant(filter_space="whitened")},
        {"variant": Variant(select="size")},
        {"variant": Variant(signs_only=True)},
    ],
    ids=str,
)
def test_layers_done_with_other_settings_do_not_count(
    small, tmp_path, finished, options
):
    first, folder = finished
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    second = two_masked_layers()
    PatchesInit(300, 20, **options).apply(second, *small, preprocess, tmp_path)
    for a, b in zip(convolutions(first), convolutions(second), strict=True):
        assert (a.kernel.numpy() != b.kernel.numpy()).any()


def test_layers_of_half_precision_are_kept_too(small, clustered, tmp_path):
    model = keras.Sequential(
        [keras.Input((16, 16, 3)), keras.layers.Conv2D(6, 3, dtype="bfloat16")]
    )
    for _ in range(2):
        PatchesInit(300, 20).apply(model, *small, preprocess, tmp_path)
        assert clustered.layers == 1


def test_torn_files_do_not_count(small, clustered, tmp_path, finished):
    whole, folder = finished
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes()[:700])
    model = two_masked_layers()
    PatchesInit(300, 20).apply(model, *small, preprocess, str(tmp_path))
    assert clustered.layers == 2
    assert_same_kernels(model, whole)
