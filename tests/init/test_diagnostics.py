import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.init.common import products_of_conv2, unchanged
from tfsupermask import models
from tfsupermask._validation import InputError
from tfsupermask.conversion import convert
from tfsupermask.init import Diagnosis, diagnose, unit_power
from tfsupermask.init.diagnostics import effective_rank, mean_cosine
from tfsupermask.layers import (
    SupermaskConv2DTranspose,
    SupermaskDepthwiseConv2D,
    SupermaskSeparableConv2D,
    supermask,
)

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (12, 8, 8, 3), np.uint8)


def rank_by_svd(matrix):
    singular = np.linalg.svd(np.asarray(matrix, np.float64), compute_uv=False)
    share = singular / singular.sum()
    return np.exp(-sum(p * np.log(p) for p in share if p > 0))


def cosine_by_loops(filters):
    pairs = [
        abs(a @ b) / np.linalg.norm(a) / np.linalg.norm(b)
        for a, b in itertools.combinations(filters, 2)
    ]
    return np.mean(pairs)


@pytest.mark.parametrize("shape", [(7, 4), (4, 7), (5, 5), (300, 20)])
@pytest.mark.parametrize("offset", [0, 10])
def test_effective_rank_is_that_of_the_singular_values(shape, offset):
    matrix = RNG.normal(size=shape) * RNG.uniform(0.1, 3, shape[1]) + offset
    assert effective_rank(matrix) == pytest.approx(rank_by_svd(matrix), rel=1e-6)


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        (np.eye(6), 6),
        (np.eye(6)[:, :4] * -3, 4),
        (np.outer(np.arange(5.0), np.ones(3)), 1),
        (np.diag([1.0, 1.0, 0.0]), 2),
        (np.zeros((3, 4)), 0),
        (np.diag([3.0, 1.0]), np.exp(-0.75 * np.log(0.75) - 0.25 * np.log(0.25))),
    ],
)
def test_effective_ranks_that_are_known(matrix, expected):
    assert effective_rank(matrix) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (np.eye(3), 0),
        ([[1.0, 2.0], [-2.0, -4.0]], 1),
        ([[1.0, 0.0], [1.0, 1.0]], 0.5**0.5),
        ([[1.0, 0.0], [0.0, 0.0]], 0),
        ([[1.0, 0.0]], 0),
    ],
)
def test_cosines_that_are_known(filters, expected):
    assert mean_cosine(np.array(filters)) == pytest.approx(expected, abs=1e-12)


def test_every_layer_equals_numpy():
    model = models.build("conv2", (8, 8, 3), 3, sparsity=0.7)
    diagnosis = diagnose(model, IMAGES, lambda batch: np.float32(batch) / 255)
    products = products_of_conv2(model, np.float32(IMAGES) / 255)
    for (layer, product), found in zip(products, diagnosis, strict=True):
        filters = layer.kernel.numpy().reshape(-1, product.shape[-1]).T
        assert (found.layer, found.num_filters) == (layer.name, len(filters))
        assert found.cosine == pytest.approx(cosine_by_loops(filters), rel=1e-5)
        assert found.filter_rank == pytest.approx(rank_by_svd(filters), rel=1e-4)
        outputs = product.reshape(-1, product.shape[-1])
        assert found.output_rank == pytest.approx(rank_by_svd(outputs), rel=1e-3)
        scale = np.sqrt(np.mean(np.float64(product) ** 2))
        assert found.output_scale == pytest.approx(scale, rel=1e-4)


def test_layers_without_masks_count_and_nothing_changes():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            SupermaskSeparableConv2D(6, 3, name="separable"),
            keras.layers.BatchNormalization(),
            SupermaskDepthwiseConv2D(3, depth_multiplier=2, name="depthwise"),
            SupermaskConv2DTranspose(5, 3, name="transpose"),
            keras.layers.Conv2D(4, 3, activation="relu", bias_initializer="ones"),
        ]
    )
    with unchanged(model):
        diagnosis = diagnose(model, IMAGES)
    assert [each.num_filters for each in diagnosis] == [6, 12, 5, 4]
    separable, _, depthwise, transpose, plain = model.layers
    filters = [
        separable.pointwise_kernel.numpy().reshape(3, 6).T,
        [depthwise.kernel.numpy()[..., i, j].ravel() for i in range(6) for j in (0, 1)],
        [transpose.kernel.numpy()[..., i, :].ravel() for i in range(5)],
        plain.kernel.numpy().reshape(-1, 4).T,
    ]
    for found, expected in zip(diagnosis, filters, strict=True):
        assert found.cosine == pytest.approx(cosine_by_loops(expected), rel=1e-5)


def test_the_batch_itself_is_what_batch_normalisation_normalises_by():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.BatchNormalization(center=False, scale=False),
            keras.layers.Conv2D(4, 1),
        ]
    )
    (found,) = diagnose(model, IMAGES)
    x = IMAGES.reshape(-1, 3).astype(np.float64)
    x = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + model.layers[0].epsilon)
    outputs = x @ model.layers[1].kernel.numpy().reshape(3, 4)
    assert found.output_scale == pytest.approx(np.sqrt((outputs**2).mean()), rel=1e-4)


class Subclassed(keras.Model):
    """Layers that only the model's own `call` knows."""

    def __init__(self):
        super().__init__()
        conv = keras.layers.Conv2D(4, 3, activation="relu", name="conv")
        self.blocks = [conv, keras.layers.BatchNormalization(name="normalised")]
        self.dense = keras.layers.Dense(5, name="dense")
        self.recurrent = keras.layers.GRU(3, name="gru")

    def call(self, inputs):
        maps = self.blocks[1](self.blocks[0](inputs))
        return self.recurrent(self.dense(tf.reshape(maps, (-1, 6, 24))))


@pytest.mark.parametrize("masked", [False, True])
def test_layers_are_found_in_subclassed_models(masked):
    keras.utils.set_random_seed(0)
    model = Subclassed()
    model(np.float32(IMAGES))
    kernels = [model.blocks[0].kernel.numpy(), model.dense.kernel.numpy()]
    if masked:
        model = convert(model, sparsity=0.5, verbose=False)
    with unchanged(model):
        found = diagnose(model, IMAGES)
    assert [each.layer for each in found] == ["conv", "dense"]
    for each, kernel in zip(found, kernels, strict=True):
        filters = kernel.reshape(-1, kernel.shape[-1]).T
        assert each.cosine == pytest.approx(cosine_by_loops(filters), rel=1e-5)
    kernel = model.masked_weights[0].masked() if masked else kernels[0]
    outputs = tf.nn.conv2d(np.float32(IMAGES), kernel, 1, "VALID")
    expected = np.sqrt(np.square(outputs).mean())
    assert found[0].output_scale == pytest.approx(expected, rel=1e-5)


def test_prints_a_table_of_a_line_a_layer():
    diagnosis = diagnose(models.build("conv2", (8, 8, 3), 3), IMAGES)
    assert isinstance(diagnosis, Diagnosis)
    assert isinstance(diagnosis, tuple)
    lines = str(diagnosis).splitlines()
    assert len(lines) == 6
    assert len({len(line) for line in lines}) == 1
    assert lines[1].split()[:2] == ["conv1", "64"]
    assert float(lines[1].split()[-1]) == pytest.approx(
        diagnosis[0].output_scale, rel=1e-3
    )


def test_refuses_no_images_and_outputs_that_are_not_finite():
    model = models.build("conv2", (8, 8, 3), 3)
    for none in (IMAGES[:0], []):
        with pytest.raises(InputError, match="at least one image"):
            diagnose(model, none)
    with pytest.raises(InputError, match="`model` must be built"):
        diagnose(keras.Sequential([keras.layers.Dense(3)]), IMAGES)
    with pytest.raises(
        InputError, match=r"layer 'conv1' must be finite.*not_finite=\d+"
    ):
        diagnose(model, IMAGES, lambda batch: np.full(batch.shape, np.nan, "float32"))


def test_the_model_itself_may_be_the_layer():
    layer = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="d")])
    model = supermask(layer, sparsity=0.5)
    images = [[1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 2.0]]  # a list
    assert [each.layer for each in diagnose(model, images)] == ["d"]
    assert list(unit_power(model, np.array(images), [0, 1])) == ["d"]
