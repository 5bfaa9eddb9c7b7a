import keras
import numpy as np
import pytest
import tensorflow as tf

from tfsupermask import models
from tfsupermask._validation import InputError
from tfsupermask.layers import SupermaskConv2D, supermask_layers
from tfsupermask.ops import compute_fans

# Weights of each layer of Table 5.1 on 32x32x3 images with 10 classes.
WEIGHTS = {
    "conv2": {
        "conv1": 3 * 3 * 3 * 64,
        "conv2": 3 * 3 * 64 * 64,
        "dense1": 16 * 16 * 64 * 256,
        "dense2": 256 * 256,
        "dense3": 256 * 10,
    },
    "conv4": {
        "conv1": 3 * 3 * 3 * 64,
        "conv2": 3 * 3 * 64 * 64,
        "conv3": 3 * 3 * 64 * 128,
        "conv4": 3 * 3 * 128 * 128,
        "dense1": 8 * 8 * 128 * 256,
        "dense2": 256 * 256,
        "dense3": 256 * 10,
    },
    "conv6": {
        "conv1": 3 * 3 * 3 * 64,
        "conv2": 3 * 3 * 64 * 64,
        "conv3": 3 * 3 * 64 * 128,
        "conv4": 3 * 3 * 128 * 128,
        "conv5": 3 * 3 * 128 * 256,
        "conv6": 3 * 3 * 256 * 256,
        "dense1": 4 * 4 * 256 * 256,
        "dense2": 256 * 256,
        "dense3": 256 * 10,
    },
}
TOTALS = {
    ("conv2", 10): 4_300_992,
    ("conv4", 10): 2_425_024,
    ("conv6", 10): 2_261_184,
    ("conv2", 100): 4_324_032,
    ("conv4", 100): 2_448_064,
    ("conv6", 100): 2_284_224,
}
each_model = pytest.mark.parametrize("name", WEIGHTS)


def build_small(name="conv2", **kwargs):
    return models.build(name, **{"input_shape": (8, 8, 3), "num_classes": 3, **kwargs})


@each_model
def test_layers_have_the_weights_of_table_5_1(name):
    model = models.build(name)
    layers = supermask_layers(model)
    assert {each.name: each.num_weights for each in layers} == WEIGHTS[name]
    assert [each.name for each in layers] == list(WEIGHTS[name])
    assert model.name == name
    assert model.input_shape == (None, 32, 32, 3)
    assert model.output_shape == (None, 10)


@pytest.mark.parametrize(("name", "num_classes"), TOTALS)
def test_trains_exactly_one_score_for_every_weight(name, num_classes):
    model = models.build(name, num_classes=num_classes)
    total = TOTALS[name, num_classes]
    trainable, frozen = model.trainable_weights, model.non_trainable_weights
    assert sum(np.prod(weight.shape) for weight in trainable) == total
    counts = [weight for weight in frozen if weight.name == "num_kept"]
    assert sum(np.prod(weight.shape) for weight in frozen) == total + len(counts)
    assert {weight.name for weight in trainable} == {"score"}
    assert {weight.name for weight in frozen} == {"kernel", "num_kept"}


def test_layer_order_is_that_of_table_5_1():
    names = [each.name for each in models.build("conv4").layers]
    assert names == [
        *("image", "conv1", "conv2", "pool1", "conv3", "conv4", "pool2"),
        *("flatten", "dense1", "dense2", "dense3"),
    ]


@each_model
def test_relu_everywhere_but_at_the_logits(name):
    layers = supermask_layers(build_small(name))
    activations = [each.activation.__name__ for each in layers]
    assert activations == ["relu"] * (len(layers) - 1) + ["linear"]


def test_convolutions_are_3x3_same_without_bias():
    for layer in supermask_layers(build_small("conv6")):
        assert layer.bias is None
        if isinstance(layer, SupermaskConv2D):
            assert layer.kernel_size == (3, 3)
            assert layer.strides == (1, 1)
            assert layer.padding == "same"
            assert layer.groups == 1


def test_pools_halve_by_the_maximum():
    for layer in build_small("conv6").layers:
        if layer.name.startswith("pool"):
            assert type(layer) is keras.layers.MaxPooling2D
            assert layer.pool_size == layer.strides == (2, 2)


def test_logits_by_naive_layers():
    model = build_small(sparsity=0.3, seed=4)
    x = images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    conv1, conv2, *dense = supermask_layers(model)
    for layer in (conv1, conv2):
        x = tf.nn.relu(tf.nn.conv2d(x, layer.kernel * layer.mask, 1, "SAME"))
    x = tf.reshape(tf.nn.max_pool2d(x, 2, 2, "VALID"), (2, -1))
    for layer in dense[:-1]:
        x = tf.nn.relu(x @ (layer.kernel * layer.mask))
    x = x @ (dense[-1].kernel * dense[-1].mask)
    np.testing.assert_allclose(model(images), x, rtol=1e-5, atol=1e-5)


def test_sparsity_and_method_reach_every_layer():
    for layer in supermask_layers(build_small("conv4", sparsity=0.9, method="signed")):
        assert (layer.sparsity, layer.method.name) == (0.9, "signed")


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_logits_are_float32_under_mixed_precision(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = build_small()
    finally:
        keras.config.set_dtype_policy(before)
    layers = supermask_layers(model)
    compute = policy.removeprefix("mixed_")
    assert [each.compute_dtype for each in layers] == [compute] * 4 + ["float32"]
    assert {each.score.dtype for each in layers} == {"float32"}
    assert model(np.ones((1, 8, 8, 3))).dtype == tf.float32


def values_of(model):
    return [w.numpy() for w in model.weights if w.name != "num_kept"]


def test_values_are_a_function_of_the_seed():
    first, same, other = (values_of(build_small(seed=seed)) for seed in (7, 7, 8))
    for one, two, three in zip(first, same, other, strict=True):
        np.testing.assert_array_equal(one, two)
        assert np.all(one != three)


def test_no_two_variables_start_alike():
    starts = {
        variable.numpy().ravel()[:3].tobytes()
        for layer in supermask_layers(build_small("conv6"))
        for variable in (layer.kernel, layer.score)
    }
    assert len(starts) == 18


def test_sparsity_does_not_change_the_start():
    for one, two in zip(
        values_of(build_small(sparsity=0.1)),
        values_of(build_small(sparsity=0.9)),
        strict=True,
    ):
        np.testing.assert_array_equal(one, two)


def test_start_is_xavier_normal_with_kaiming_uniform_scores():
    for layer in supermask_layers(models.build("conv4")):
        fan_in, fan_out = compute_fans(layer.kernel.shape)
        kernel, score = layer.kernel.numpy(), layer.score.numpy()
        std, tolerance = np.sqrt(2 / (fan_in + fan_out)), 5 / np.sqrt(kernel.size)
        assert abs(kernel.std() / std - 1) < tolerance
        assert abs(kernel.mean() / std) < tolerance
        assert np.abs(kernel).max() > 2.5 * std  # truncated ones end at 2.3
        bound = 1 / np.sqrt(fan_in)
        assert 0.99 * bound < np.abs(score).max() <= bound


@pytest.mark.parametrize(
    ("name", "side"), [("conv2", 2), ("conv4", 4), ("conv6", 8), ("conv6", 9)]
)
def test_smallest_images(name, side):
    model = models.build(name, input_shape=(side, side + 3, 1), num_classes=2)
    assert model(np.ones((1, side, side + 3, 1))).shape == (1, 2)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("conv2", (1, 8, 3), "halves the image 1 times and needs at least 2 pixels"),
        ("conv4", (8, 3, 3), "halves the image 2 times and needs at least 4 pixels"),
        ("conv6", (7, 7, 3), "halves the image 3 times and needs at least 8 pixels"),
    ],
)
def test_refuses_images_too_small(name, shape, message):
    with pytest.raises(InputError) as error:
        models.build(name, input_shape=shape)
    assert str(error.value) == (
        f"{name} {message} a side. Received: input_shape={shape}"
    )


def test_saved_model_file_restores_the_model(tmp_path):
    model = build_small("conv4", sparsity=0.8, seed=5)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_array_equal(loaded(images), model(images))
