"""What holds for every model; residual ones are narrow here, for speed."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfsupermask import init, models
from tfsupermask._validation import InputError
from tfsupermask.layers import SupermaskConv2D, supermask_layers
from tfsupermask.ops import derive_seed
from tfsupermask.patches import SAMPLES_PER_IMAGE
from tfsupermask.runs import Config, resolve

pytestmark = pytest.mark.usefixtures("narrow")

# The smallest image of each model, in pixels, and how often the model halves it.
SMALLEST = {
    "alexnet": (16, 4),
    "conv2": (2, 1),
    "conv4": (4, 2),
    "conv6": (8, 3),
    "conv8": (16, 4),
    "resnet18": (8, 3),
    "resnet34": (8, 3),
    "resnet50": (8, 3),
    "resnet101": (8, 3),
    "vgg16": (32, 5),
}
NORMALISED = ["resnet18", "resnet50", "vgg16"]
SMALL = ["alexnet", "conv6", *NORMALISED]


def build_small(name, **kwargs):
    side = SMALLEST[name][0]
    return models.build(name, **{"input_shape": (side, side, 3), **kwargs})


def images(model, count=2):
    generator = np.random.default_rng(0)
    return generator.normal(size=(count, *model.input_shape[1:])).astype(np.float32)


@pytest.mark.parametrize("name", SMALL)
def test_start_is_what_initialize_gives_for_the_seed(name):
    model = build_small(name, seed=3)
    layers = supermask_layers(model)
    started = [layer.kernel.numpy() for layer in layers]
    for layer in layers:
        layer.kernel.assign(tf.zeros_like(layer.kernel))
    init.initialize(model, "glorot_normal", seed=3)
    for layer, kernel in zip(layers, started, strict=True):
        np.testing.assert_array_equal(layer.kernel, kernel, err_msg=layer.name)


@pytest.mark.parametrize("name", ["conv4", "resnet18"])
def test_each_layer_draws_from_the_seeds_of_its_place(name):
    model = build_small(name, seed=5, sparsity=0.9)  # which changes nothing
    draw = keras.initializers.VarianceScaling
    for place, layer in enumerate(supermask_layers(model)):
        seeds = [derive_seed(5, what, place) for what in ("kernel", "score")]
        kernel = draw(1, "fan_avg", "untruncated_normal", seeds[0])
        score = draw(1 / 3, "fan_in", "uniform", seeds[1])
        np.testing.assert_array_equal(layer.kernel, kernel(layer.kernel.shape))
        np.testing.assert_array_equal(layer.score, score(layer.kernel.shape))


@pytest.mark.parametrize("name", SMALL)
def test_all_that_has_a_kernel_is_masked_and_only_scores_are_trained(name):
    model = build_small(name, num_classes=7, sparsity=0.8, method="signed")
    layers = supermask_layers(model)
    kernels = [la for la in model.layers if getattr(la, "kernel", None) is not None]
    assert kernels == layers
    made = {(la.sparsity, la.method.name, la.bias) for la in layers}
    assert made == {(0.8, "signed", None)}
    trained = [variable.path for variable in model.trainable_variables]
    assert trained == [layer.score.path for layer in layers]
    assert model.name == name
    assert model.output_shape == (None, 7)
    convolutions = [la for la in layers if isinstance(la, SupermaskConv2D)]
    for layer in convolutions:
        assert (layer.padding, layer.groups) == ("same", 1)
        assert layer.data_format == "channels_last"
    kind = keras.layers.BatchNormalization
    normalisations = [layer for layer in model.layers if isinstance(layer, kind)]
    assert len(normalisations) == (len(convolutions) if name in NORMALISED else 0)
    for layer in normalisations:
        assert (layer.gamma, layer.beta) == (None, None)
        assert (layer.epsilon, layer.momentum) == (1e-5, 0.9)
        assert layer.synchronized
        assert len(layer.variables) == 2


@pytest.mark.parametrize("name", NORMALISED)
def test_scale_and_offset_are_trained_and_change_nothing_at_first(name):
    plain, model = build_small(name), build_small(name, affine_norm=True)
    count = len(plain.trainable_variables)
    trained = [variable.name for variable in model.trainable_variables]
    assert (trained.count("score"), len(trained)) == (
        count,
        3 * count - 2 * dense(name),
    )
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            np.testing.assert_array_equal(layer.gamma, 1)
            np.testing.assert_array_equal(layer.beta, 0)
    logits = plain(images(plain), training=True)
    np.testing.assert_array_equal(model(images(model), training=True), logits)


def dense(name):
    """Returns how many layers of a network have no batch normalisation."""
    return 3 if name == "vgg16" else 1


@pytest.mark.parametrize("name", ["alexnet", *NORMALISED])
def test_gradient_reaches_every_score(name):
    model = build_small(name, input_shape=(32, 32, 3))
    with tf.GradientTape() as tape:
        logits = model(images(model, 4), training=True)
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits([0, 1, 2, 3], logits)
    assert np.isfinite(logits).all()
    scores = [variable.value for variable in model.trainable_variables]
    for score, gradient in zip(scores, tape.gradient(loss, scores), strict=True):
        assert np.isfinite(gradient).all(), score.name
        assert np.count_nonzero(gradient) > 0.1 * np.size(gradient), score.name


@pytest.mark.parametrize("name", models.names())
def test_smallest_images(name):
    side, halvings = SMALLEST[name]
    model = build_small(name, input_shape=(side + 3, side, 1), num_classes=2)
    logits = model(images(model))
    assert logits.shape == (2, 2)
    assert np.isfinite(logits).all()
    assert np.any(logits[0] != logits[1])
    with pytest.raises(InputError) as error:
        models.build(name, input_shape=(side, side - 1, 3))
    assert str(error.value) == (
        f"{name} halves the image {halvings} times and needs at least {side} pixels "
        f"a side. Received: input_shape=({side}, {side - 1}, 3)"
    )


def test_saved_model_file_restores_the_model(tmp_path):
    model = build_small("resnet18", sparsity=0.8, seed=5)
    model(images(model), training=True)  # moves the statistics
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert [layer.name for layer in loaded.layers] == [la.name for la in model.layers]
    np.testing.assert_array_equal(loaded(images(model)), model(images(model)))


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("conv2", "float16"),
        *[(name, "bfloat16") for name in SMALL if name != "resnet50"],
    ],
)
def test_logits_are_float32_under_mixed_precision(name, dtype):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(f"mixed_{dtype}")
    try:
        model = build_small(name)
    finally:
        keras.config.set_dtype_policy(before)
    layers = supermask_layers(model)
    compute = [layer.compute_dtype for layer in layers]
    assert compute == [dtype] * (len(compute) - 1) + ["float32"]
    assert {layer.score.dtype for layer in layers} == {"float32"}
    logits = model(images(model), training=True)
    assert logits.dtype == tf.float32
    assert np.isfinite(logits).all()


@pytest.mark.parametrize("side", [16, 28, 32, 64, 100, 224])
@pytest.mark.parametrize("name", [name for name in SMALLEST if name != "resnet101"])
def test_every_convolution_offers_the_default_number_of_patches(name, side):
    if side < SMALLEST[name][0]:
        return
    model = models.build(name, (side, side, 3), width=0.02)
    fewest = min(
        np.prod(layer.output.shape[1:3])
        for layer in supermask_layers(model)
        if isinstance(layer, SupermaskConv2D) and layer.kernel_size != (1, 1)
    )
    config = Config(model=name, dataset="folder", data_dir="there", image_size=side)
    assert resolve(config, 100).num_patches == 100 * min(SAMPLES_PER_IMAGE, fewest)
    first = resolve(dataclasses.replace(config, init="partial_patches"), 100)
    assert first.num_patches == 100 * SAMPLES_PER_IMAGE
