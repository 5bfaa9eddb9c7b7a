import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.init.common import products_of_conv2, unchanged
from tfsupermask import models
from tfsupermask._validation import InputError
from tfsupermask.conversion import convert
from tfsupermask.init import NAMES, initialize, unit_power
from tfsupermask.layers import (
    SupermaskConv2D,
    SupermaskConv2DTranspose,
    SupermaskDense,
    SupermaskDepthwiseConv2D,
    SupermaskSeparableConv2D,
    drawn,
    masked_weights,
    supermask,
    supermask_layers,
)

LABELS = np.arange(60) % 3
IMAGES = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), np.uint8)


def preprocess(images):
    return ((images / 255 - 0.3) / 0.25).astype(np.float32)


def net(method="edge_popup"):
    """Conv2 for small images, with scores of its own."""
    return models.build("conv2", (8, 8, 3), 3, sparsity=0.7, method=method)


def walk(model, images):
    """The factors that Conv2's outputs before activation call for."""

    def factor(product):
        return float((product.astype(np.float64) ** 2).mean()) ** -0.5

    products = products_of_conv2(model, preprocess(images), factor)
    return [factor(product) for _, product in products]


@pytest.mark.parametrize("name", [*NAMES, "patterns"])
@pytest.mark.parametrize("method", ["edge_popup", "signed"])
def test_factors_are_those_of_layer_after_layer(name, method):
    model = net(method)
    if name == "patterns":
        for layer in supermask_layers(model):
            values = np.random.default_rng(1).normal(size=layer.kernel.shape)
            layer.kernel.assign(values * 3)
    else:
        initialize(model, name, seed=2)
    expected = walk(model, IMAGES)
    before = [layer.kernel.numpy() for layer in supermask_layers(model)]
    factors = unit_power(model, IMAGES, LABELS, preprocess)
    assert list(factors) == ["conv1", "conv2", "dense1", "dense2", "dense3"]
    np.testing.assert_allclose(list(factors.values()), expected, rtol=1e-4)
    for layer, kernel, factor in zip(
        supermask_layers(model), before, factors.values(), strict=True
    ):
        np.testing.assert_allclose(layer.kernel, kernel * factor, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(walk(model, IMAGES), 1, rtol=1e-4)


@pytest.mark.parametrize("drawn", [True, False])
def test_kernels_as_drawn_are_still_what_the_config_draws(drawn):
    model = net()
    initialize(model, "signed_constant", seed=2)
    layers = supermask_layers(model)
    if not drawn:  # other layers keep their initializer
        for layer in layers:
            layer.kernel.assign(layer.kernel + 0.01)
    before = [layer.get_config() for layer in layers]
    unit_power(model, IMAGES, LABELS, preprocess)
    assert ([layer.get_config() for layer in layers] == before) is not drawn
    for layer in layers if drawn else ():
        config = layer.get_config()["kernel_initializer"]
        redrawn = keras.initializers.deserialize(config)(layer.kernel.shape)
        np.testing.assert_array_equal(redrawn, layer.kernel)
        assert np.unique(np.abs(layer.kernel)).size == 1


def test_uses_250_images_of_each_class_the_same_number():
    seen = []

    def watched(images):
        seen.append(np.bincount(images[:, 0, 0, 0]).tolist())
        return preprocess(images)

    labels = np.repeat([0, 1], [150, 650])
    images = np.tile(np.uint8(labels[:, None, None, None]), (1, 8, 8, 3))
    unit_power(net(), images, labels, watched)
    assert seen == [[125, 125]]


def test_images_are_a_function_of_the_seed():
    images = np.random.default_rng(1).integers(0, 256, (600, 8, 8, 3), np.uint8)
    labels = np.arange(600) % 3
    factors = [unit_power(net(), images, labels, seed=seed) for seed in (0, 0, 1)]
    assert factors[0] == factors[1] != factors[2]


def test_bias_and_activation_do_not_count_and_stay():
    keras.utils.set_random_seed(0)
    layer = SupermaskConv2D(
        6, 3, use_bias=True, bias_initializer="ones", activation="sigmoid"
    )
    last = SupermaskDense(4, use_bias=True, bias_initializer="ones")
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), layer, keras.layers.Flatten(), last]
    )
    unit_power(model, IMAGES, LABELS, preprocess)
    np.testing.assert_array_equal(layer.bias, np.ones(6))
    assert layer.activation is keras.activations.sigmoid
    product = tf.nn.conv2d(preprocess(IMAGES), layer.masked_kernel(), 1, "VALID")
    assert float(tf.reduce_mean(product**2)) == pytest.approx(1, rel=1e-4)
    x = tf.reshape(tf.sigmoid(product + 1), (60, -1))
    power = tf.reduce_mean((x @ last.masked_kernel()) ** 2)
    assert float(power) == pytest.approx(1, rel=1e-4)


class WithFlag(keras.layers.Layer):
    """A dense layer of one's own, whose `bias` says whether it has an offset."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 4), name="kernel")
        self.bias, self.activation = True, keras.activations.relu

    def call(self, x):
        return self.activation(x @ self.kernel)


class WithForeign(WithFlag):
    """The same with an offset that Keras does not know."""

    def build(self, shape):
        super().build(shape)
        self.bias = tf.Variable(tf.ones(4))


def make_own(layer):
    layers = [keras.Input((8, 8, 3)), keras.layers.Flatten(), layer]
    return convert(keras.Sequential(layers), sparsity=0.5)


def test_a_bias_that_cannot_be_taken_out_is_refused():
    model = make_own(WithForeign(name="own"))
    before = [weight.numpy() for weight in model.weights]
    with pytest.raises(InputError, match="bias of layer 'own' must be a Keras"):
        unit_power(model, IMAGES, LABELS, preprocess)
    for weight, values in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, values)


@pytest.mark.parametrize("dtype", ["bool", "bfloat16", "float64"])
def test_images_are_arrays_of_any_numbers(dtype):
    images = (IMAGES > 100).astype(dtype)
    whole, again = kinds_net(), kinds_net()
    expected = unit_power(whole, np.float32(images), LABELS)
    assert unit_power(again, images, LABELS) == expected


def test_a_bias_may_be_a_flag():
    model = make_own(WithFlag(name="own"))
    unit_power(model, IMAGES, LABELS, preprocess)
    again = unit_power(model, IMAGES, LABELS, preprocess)
    assert again == {"own": pytest.approx(1, abs=1e-3)}


def kinds_net():
    keras.utils.set_random_seed(0)
    inner = keras.Sequential(
        [
            keras.Input((8, 8, 6)),
            SupermaskDepthwiseConv2D(3, name="depthwise"),
            SupermaskConv2DTranspose(5, 3, name="transpose"),
        ]
    )
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            SupermaskSeparableConv2D(6, 3, padding="same", name="separable"),
            inner,
            keras.layers.Conv2D(4, 3, name="plain"),
            keras.layers.GlobalAveragePooling2D(),
            SupermaskDense(3, name="dense"),
        ]
    )


def test_every_kind_of_layer_gets_unit_power_nested_ones_too():
    model = kinds_net()
    before = {w.path: w.numpy() for w in model.weights}
    factors = unit_power(model, IMAGES, LABELS, preprocess)
    assert list(factors) == ["separable", "depthwise", "transpose", "dense"]
    again = unit_power(model, IMAGES, LABELS, preprocess)
    np.testing.assert_allclose(list(again.values()), 1, rtol=1e-5)
    x = preprocess(IMAGES)
    separable, inner, plain = model.layers[:3]
    for layer in (separable, *inner.layers):
        x = layer(x)
        assert float(tf.reduce_mean(x**2)) == pytest.approx(1, rel=1e-4)
    np.testing.assert_array_equal(plain.kernel, before[plain.kernel.path])
    shared = {
        float(np.median(weight.kernel.numpy() / before[weight.kernel.path]))
        for weight in separable.masked_weights
    }
    np.testing.assert_allclose(list(shared), factors["separable"] ** 0.5, rtol=1e-4)


def test_models_need_not_take_images_and_a_first_call_counts():
    dense = SupermaskDense(3, activation="relu", name="dense")
    model = keras.Sequential([keras.Input((3,)), dense, dense])
    vectors = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
    assert list(unit_power(model, vectors, np.zeros(30, int))) == ["dense"]
    power = tf.reduce_mean((vectors @ dense.masked_kernel()) ** 2)
    assert float(power) == pytest.approx(1, rel=1e-5)


@keras.saving.register_keras_serializable("test_power")
class Block(keras.layers.Layer):
    """A convolution of the same name in each, which nobody outside knows of."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        options = {"padding": "same", "bias_initializer": "ones"}
        self.inner = keras.layers.Conv2D(3, 3, activation="relu", name="c", **options)
        self.normalised = keras.layers.BatchNormalization(scale=False)

    def build(self, shape):
        self.inner.build(shape)
        self.normalised.build((*shape[:-1], 3))

    def call(self, inputs):
        return self.normalised(self.inner(inputs))


class Subclassed(keras.Model):
    """Blocks, the second called twice, once in a `tf.function`."""

    def __init__(self):
        super().__init__()
        self.first, self.second = Block(name="first"), Block(name="second")
        self.dense = keras.layers.Dense(4, name="dense")

    @tf.function
    def in_a_graph(self, inputs):
        return self.second(self.first(inputs))

    def call(self, inputs):
        maps = self.second(self.in_a_graph(inputs))
        return self.dense(tf.reduce_mean(maps, (1, 2)))


def masked_whole():
    """A subclassed model, all of it one supermask."""
    model = Subclassed()
    model(preprocess(IMAGES))
    return convert(model, sparsity=0.5, verbose=False)


def masked_blocks():
    """Layers of one's own, each a supermask."""
    first = supermask(Block(name="first"), sparsity=0.5)
    second = supermask(Block(name="second"), sparsity=0.5)
    layers = [first, second, second, keras.layers.GlobalAveragePooling2D()]
    last = SupermaskDense(4, name="dense")
    return keras.Sequential([keras.Input((8, 8, 3)), *layers, last])


@pytest.mark.parametrize("net", [masked_whole, masked_blocks])
@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
def test_layers_inside_a_supermask_get_unit_power(net, dtype):
    before_policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        keras.utils.set_random_seed(0)
        model = net()
    finally:
        keras.config.set_dtype_policy(before_policy)
    weights = masked_weights(model)
    initialize(model, "kaiming_normal", seed=3)
    weights[0].kernel.assign(weights[0].kernel * 3)
    masked = {id(weight.kernel) for weight in weights}
    others = [(v, v.numpy()) for v in model.variables if id(v) not in masked]
    kernels = [weight.kernel.numpy() for weight in weights]
    factors = unit_power(model, IMAGES, LABELS, preprocess)
    assert list(factors) == ["first/c", "second/c", "dense"]
    for weight, kernel, factor in zip(weights, kernels, factors.values(), strict=True):
        np.testing.assert_allclose(weight.kernel, kernel * factor, rtol=2e-6)
    for variable, value in others:
        np.testing.assert_array_equal(variable, value)
    product = tf.nn.conv2d(preprocess(IMAGES), weights[0].masked(), 1, "SAME")
    assert float(tf.reduce_mean(product**2)) == pytest.approx(1, rel=1e-2)
    again = unit_power(model, IMAGES, LABELS, preprocess)
    error = {"float32": 1e-5, "mixed_float16": 2e-3}[dtype]
    np.testing.assert_allclose(list(again.values()), 1, rtol=error)


def recurrent():
    layer = supermask(keras.layers.LSTM(5, name="lstm"))
    layers = [SupermaskConv2D(3, 3, name="c"), keras.layers.Reshape((6, 18)), layer]
    return keras.Sequential([keras.Input((8, 8, 3)), *layers])


class Unused(keras.Model):
    """A masked layer that is built and never called."""

    def __init__(self):
        super().__init__()
        self.used, self.unused = SupermaskDense(3), SupermaskDense(3, name="unused")

    def call(self, inputs):
        if not self.unused.built:
            self.unused.build(inputs.shape)
        return self.used(inputs)


def unused():
    model = Unused()
    model(preprocess(IMAGES))
    return model


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (
            recurrent,
            "'lstm' must have masks only in dense.*kernel='lstm/lstm_cell/kernel'",
        ),
        (unused, "'unused' must have masks only.*and be called.*'unused/kernel'"),
    ],
)
def test_masked_kernels_without_a_factor_are_refused(net, message):
    model = net()
    with unchanged(model), pytest.raises(InputError, match=message):
        unit_power(model, IMAGES, LABELS, preprocess)


def test_stochastic_masks_are_drawn_and_are_without_chance_afterwards():
    model = models.build("conv2", (8, 8, 3), 3, sparsity=0.9, method="stochastic")
    unit_power(model, IMAGES, LABELS, preprocess)
    weight = masked_weights(model)[0]
    assert int(weight.draw) == 0
    with drawn(model, -1):
        product = tf.nn.conv2d(preprocess(IMAGES), weight.masked(), 1, "SAME")
    assert float(tf.reduce_mean(product**2)) == pytest.approx(1, rel=1e-4)


def test_a_layer_that_puts_out_nothing_stays_as_it_is():
    model = net()
    model.get_layer("conv2").kernel.assign(tf.zeros((3, 3, 64, 64)))
    factors = unit_power(model, IMAGES, LABELS, preprocess)
    assert factors["conv1"] != 1
    assert [factors[name] for name in ("conv2", "dense1", "dense3")] == [1, 1, 1]
    assert all(np.isfinite(variable).all() for variable in model.get_weights())


def residual_net():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    options = {"padding": "same", "sparsity": 0.5}
    x = start = SupermaskConv2D(6, 3, **options, name="a")(inputs)
    x = keras.layers.BatchNormalization(center=False, scale=False, epsilon=1e-9)(x)
    x = SupermaskConv2D(6, 3, **options, name="b")(keras.layers.ReLU()(x))
    x = keras.layers.BatchNormalization(center=False, scale=False, epsilon=1e-9)(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Add()([x, start]))
    return keras.Model(inputs, SupermaskDense(3, name="dense")(x))


def test_batch_normalisation_sees_its_own_batch_and_keeps_its_averages():
    model = residual_net()
    normalisations = [x for x in model.layers if "normalization" in x.name]
    for layer in normalisations:
        layer.moving_mean.assign(layer.moving_mean + 5)
    averages = [layer.get_weights() for layer in normalisations]
    unit_power(model, IMAGES, LABELS, preprocess)
    for layer, values in zip(normalisations, averages, strict=True):
        for value, expected in zip(layer.get_weights(), values, strict=True):
            np.testing.assert_array_equal(value, expected)
    # In training, which normalises by the batch, the last layer has unit power.
    power = tf.reduce_mean(model(preprocess(IMAGES), training=True) ** 2)
    assert float(power) == pytest.approx(1, rel=1e-3)


def test_compiled_and_saved_models_follow(tmp_path):
    model = net()
    compiled = tf.function(lambda x: model(x, training=False))
    before = compiled(preprocess(IMAGES)).numpy()
    unit_power(model, IMAGES, LABELS, preprocess)
    after = compiled(preprocess(IMAGES)).numpy()
    assert np.square(after).mean() == pytest.approx(1, rel=1e-4)
    assert np.square(before).mean() != pytest.approx(1, rel=1e-2)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(preprocess(IMAGES)), model(preprocess(IMAGES)))


def test_what_is_refused_leaves_the_model_unchanged():
    model = net()
    model.get_layer("dense2").kernel.assign(np.full((256, 256), np.inf))
    configs = [layer.get_config() for layer in model.layers]
    message = r"layer 'dense2' must be finite.*images=\d+, not_finite=\d+"
    with unchanged(model), pytest.raises(InputError, match=message):
        unit_power(model, IMAGES, LABELS, preprocess)
    assert [layer.get_config() for layer in model.layers] == configs
    assert not any("call" in vars(layer) for layer in model.layers)


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e19, 1e30])
def test_images_of_any_scale(scale):
    expected = unit_power(net(), preprocess(IMAGES), LABELS)
    found = unit_power(net(), preprocess(IMAGES) * np.float32(scale), LABELS)
    expected["conv1"] /= scale
    assert found == pytest.approx(expected, rel=1e-4)


def unmasked():
    return keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(3, 3)])


def unbuilt():
    return keras.Sequential([keras.layers.Flatten(), SupermaskDense(3)])


@pytest.mark.parametrize(
    ("model", "images", "labels", "seed", "message"),
    [
        (net, IMAGES, LABELS[:-1], 0, "each of the 60 images"),
        (net, IMAGES[:0], LABELS[:0], 0, "at least one image"),
        (net, IMAGES.tolist(), LABELS, 0, "NumPy array.*'list'"),
        (net, tf.constant(IMAGES), LABELS, 0, "NumPy array.*'EagerTensor'"),
        (unbuilt, IMAGES, LABELS, 0, "`model` must be built"),
        (net, IMAGES, LABELS / 2, 0, "dtype='float64'"),
        (net, IMAGES, LABELS, -1, "seed=-1"),
        (unmasked, IMAGES, LABELS, 0, "must have a supermask layer"),
    ],
)
def test_refuses(model, images, labels, seed, message):
    with pytest.raises(InputError, match=message):
        unit_power(model(), images, labels, preprocess, seed)


@keras.saving.register_keras_serializable("test_power")
class Deviation(keras.initializers.Initializer):
    """An initializer of one's own: its `scale` is a deviation, not a variance."""

    def __init__(self, scale, seed):
        self.scale, self.seed = scale, seed

    def __call__(self, shape, dtype=None):
        return keras.random.normal(shape, 0, self.scale, dtype, self.seed)

    def get_config(self):
        return {"scale": self.scale, "seed": self.seed}


@pytest.mark.parametrize(
    "initializer", [Deviation(0.05, 1), keras.initializers.GlorotUniform(1)]
)
def test_initializers_of_others_keep_their_config(initializer):
    config = initializer.get_config()
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            SupermaskConv2D(6, 3, kernel_initializer=initializer, name="a"),
            keras.layers.Flatten(),
            SupermaskDense(4, name="b"),
        ]
    )
    unit_power(model, IMAGES, LABELS, preprocess)
    again = unit_power(model, IMAGES, LABELS, preprocess)
    assert again == pytest.approx({"a": 1, "b": 1}, rel=1e-4)
    assert model.get_layer("a").kernel_initializer.get_config() == config
