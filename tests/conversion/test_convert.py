import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as kl

from tfsupermask import init, models
from tfsupermask._validation import InputError
from tfsupermask.conversion import convert, fold
from tfsupermask.layers import (
    SupermaskConv2D,
    masked_weights,
    method_names,
    plain_class,
    supermask_layers,
)
from tfsupermask.ops import derive_seed


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def randomize(model):
    for index, variable in enumerate(model.weights):
        if variable.name == "num_kept":
            continue
        values = random(*variable.shape, seed=100 + index)
        variable.assign(np.abs(values) + 0.5 if "var" in variable.name else values)
    return model


def small():
    return randomize(
        keras.Sequential(
            [
                keras.Input((6, 6, 2)),
                kl.Conv2D(4, 3, name="conv1", activation="relu"),
                kl.BatchNormalization(name="bn"),
                kl.Conv2D(3, 2, name="conv2", use_bias=False),
                kl.Flatten(name="flatten"),
                kl.Dense(5, name="dense"),
            ],
            name="small",
        )
    )


def every_kind():
    image = keras.Input((6, 6, 3))
    x = kl.Conv2D(4, 3, padding="same", strides=2, name="conv2d")(image)
    x = kl.DepthwiseConv2D(2, depth_multiplier=2, name="depthwise")(x)
    x = kl.SeparableConv2D(6, 2, padding="same", name="separable")(x)
    x = kl.Conv2DTranspose(3, 2, strides=2, name="transpose")(x)
    flat = kl.Reshape((16, 3))(x)
    x1 = kl.Conv1D(3, 2, padding="causal", dilation_rate=2, name="conv1d")(flat)
    x3 = kl.Conv3D(2, 2, use_bias=False, name="conv3d")(kl.Reshape((4, 4, 3, 1))(x))
    x = kl.Concatenate()([kl.Flatten()(x1), kl.Flatten()(x3)])
    return randomize(keras.Model(image, kl.Dense(5, activation="tanh", name="fc")(x)))


def values(model):
    return [(weight.path, weight.numpy()) for weight in model.variables]


def assert_same(one, other):
    keras.tree.map_structure(np.testing.assert_array_equal, one, other)


def sparsities(model):
    return {layer.name: layer.sparsity for layer in supermask_layers(model)}


def test_every_kind_of_layer_keeps_name_config_and_weights():
    model = every_kind()
    before = values(model)
    converted = convert(model, 0.0, verbose=False)
    names = ["conv2d", "depthwise", "separable", "transpose", "conv1d", "conv3d", "fc"]
    assert sorted(sparsities(converted)) == sorted(names)
    for layer in model.layers:
        twin = converted.get_layer(layer.name)
        if layer.name not in names:
            assert type(twin) is type(layer)
            continue
        assert type(twin).__name__ == f"Supermask{type(layer).__name__}"
        kept = {**twin.get_config(), **layer.get_config()}
        assert kept == twin.get_config()
        for weight in layer.weights:
            mine = next(w for w in twin.weights if w.name == weight.name)
            np.testing.assert_array_equal(mine, weight)
            assert mine.trainable == (weight.name == "bias")
    images = random(2, 6, 6, 3)
    assert_same(converted(images), model(images))
    assert [path for path, _ in before] == [path for path, _ in values(model)]
    assert_same([value for _, value in before], [value for _, value in values(model)])


def test_half_of_the_weights_are_masked_by_default():
    converted = convert(small(), verbose=False)
    assert sparsities(converted) == {"conv1": 0.5, "conv2": 0.5, "dense": 0.5}
    for weight in masked_weights(converted):
        assert weight.method.name == "edge_popup"
        assert float(tf.reduce_sum(weight.mask)) == weight.num_kept
        assert weight.num_kept == weight.num_weights - round(weight.num_weights / 2)


def test_result_trains_scores_and_what_else_was_trainable():
    converted = convert(small(), verbose=False)
    assert not converted.compiled
    trained = sorted(
        f"{layer.name}/{weight.name}"
        for layer in converted.layers
        for weight in layer.trainable_weights
    )
    scores = ["conv1/score", "conv2/score", "dense/score"]
    assert trained == sorted(
        [*scores, "conv1/bias", "dense/bias", "bn/gamma", "bn/beta"]
    )
    before = {w.path: w.numpy() for w in converted.weights}
    converted.compile("sgd", keras.losses.SparseCategoricalCrossentropy(True))
    converted.fit(random(8, 6, 6, 2), np.arange(8) % 5, verbose=0)
    for layer in converted.layers:
        for weight in layer.weights:
            changed = np.any(before[weight.path] != weight.numpy())
            frozen = weight.name in ("kernel", "num_kept")
            assert changed != frozen, weight.path


@pytest.mark.parametrize("compiled", [False, True])
def test_given_model_is_unchanged_compiled_or_not(compiled):
    model = nested()
    if compiled:
        # A loss that cannot be made anew from a config.
        model.compile("adam", lambda y, p: keras.ops.mean(keras.ops.square(y - p)))
        model.fit(random(4, 8), random(4, 2), verbose=0)
    config, before = model.to_json(), values(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        converted = convert(model, 0.3, initializer="glorot_normal", verbose=False)
    assert not converted.compiled
    assert model.compiled == compiled
    assert model.to_json() == config
    assert_same([v for _, v in before], [v for _, v in values(model)])
    for variable in converted.variables:
        assert not any(variable is other for other in model.variables)


@pytest.mark.parametrize(
    ("sparsity", "expected"),
    [
        (0, {"conv1": 0, "conv2": 0, "dense": 0}),
        (0.9, {"conv1": 0.9, "conv2": 0.9, "dense": 0.9}),
        ({"conv1": 0.1, "conv*": 0.2}, {"conv1": 0.1, "conv2": 0.2}),
        ({"conv*": 0.2, "conv1": 0.1}, {"conv1": 0.2, "conv2": 0.2}),
        ({"[cd]*": 0.3}, {"conv1": 0.3, "conv2": 0.3, "dense": 0.3}),
        (lambda layer: 0.4 if layer.use_bias else None, {"conv1": 0.4, "dense": 0.4}),
        (lambda layer: 0.0, {"conv1": 0.0, "conv2": 0.0, "dense": 0.0}),
    ],
)
def test_sparsity_by_number_pattern_and_function(sparsity, expected):
    model = small()
    converted = convert(model, sparsity, verbose=False)
    assert sparsities(converted) == expected
    for name in {"conv1", "conv2", "dense"} - set(expected):
        assert type(converted.get_layer(name)) is type(model.get_layer(name))
        assert converted.get_layer(name).kernel.trainable
        np.testing.assert_array_equal(
            converted.get_layer(name).kernel, model.get_layer(name).kernel
        )


@pytest.mark.parametrize(
    ("skip", "left"),
    [
        ("dense", {"conv1", "conv2"}),
        (["dense"], {"conv1", "conv2"}),
        (("conv*",), {"dense"}),
        (["?onv1", "dense", "bn"], {"conv2"}),
        ((), {"conv1", "conv2", "dense"}),
    ],
)
def test_skip_leaves_layers_alone(skip, left):
    assert set(sparsities(convert(small(), skip=skip, verbose=False))) == left


def nested():
    inner = keras.Sequential(
        [keras.Input((8,)), kl.Dense(6, name="a"), kl.Dense(8, name="b")], name="inner"
    )
    inputs = keras.Input((8,))
    x = inner(kl.Dense(8, name="first")(inputs))
    return randomize(keras.Model(inputs, kl.Dense(2, name="last")(x)))


def test_skip_of_a_nested_model_and_of_a_layer_in_it():
    assert set(sparsities(convert(nested(), skip="inner", verbose=False))) == {
        *("first", "last")
    }
    assert set(sparsities(convert(nested(), skip="a", verbose=False))) == {
        *("first", "b", "last")
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sparsity": {"conv*": 0.5, "fc": 0.5}}, "`sparsity` must match.*'fc'"),
        ({"sparsity": {"Conv1": 0.5}}, "`sparsity` must match.*'Conv1'"),
        ({"sparsity": {"bn": 0.5}}, "`sparsity` must match.*'bn'"),
        ({"sparsity": {3: 0.5}}, "`sparsity` must match.*pattern=3"),
        ({"sparsity": {"dense": 0.5}, "skip": "dense"}, "must match.*'dense'"),
        ({"sparsity": {"conv*": 1.0}}, "`sparsity` must be a number in.*=1.0"),
        ({"sparsity": 1}, "`sparsity` must be a number in.*=1$"),
        ({"sparsity": True}, "`sparsity` must be a number in.*=True"),
        ({"sparsity": "0.5"}, "`sparsity` must be a number.*or a function.*'0.5'"),
        ({"sparsity": None}, "`sparsity` must be a number.*or a function.*None"),
        ({"sparsity": lambda layer: -1}, "`sparsity` must be a number in.*=-1"),
        ({"skip": "head"}, "`skip` must match the name of a layer.*'head'"),
        ({"skip": ["dense", "Dense"]}, "`skip` must match.*'Dense'"),
        ({"skip": [3]}, "`skip` must match.*pattern=3"),
        ({"skip": "*"}, "a kernel to mask.*neither `skip` nor.*'small'"),
        ({"sparsity": lambda layer: None}, "a kernel to mask"),
        ({"allocation": "even"}, "`allocation` must be one of.*'even'"),
        ({"allocation": "global", "sparsity": {"*": 0.5}}, "must be one number"),
        ({"initializer": "xavier"}, "`initializer` must be one of.*'xavier'"),
        ({"scores": "zeros"}, "`scores` must be one of.*'zeros'"),
        ({"method": "abs"}, "`method` must be one of.*'abs'"),
        ({"seed": -1}, "`seed` must be an integer.*-1"),
    ],
)
def test_refuses_bad_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        convert(small(), **arguments, verbose=False)


def test_refuses_what_is_no_built_model():
    with pytest.raises(InputError, match=r"must be a Keras model.*model='conv2'"):
        convert("conv2")
    with pytest.raises(InputError, match=r"must be a Keras model"):
        convert(kl.Dense(3))
    unbuilt = keras.Sequential([kl.Dense(3)], name="unbuilt")
    with pytest.raises(InputError, match=r"must be built.*model='unbuilt'"):
        convert(unbuilt)


def test_refuses_a_model_with_nothing_to_convert():
    model = keras.Sequential([keras.Input((4,)), kl.BatchNormalization()], name="none")
    with pytest.raises(InputError, match=r"'none', classes=\['BatchNormalization'\]"):
        convert(model)


def adapted(method, *args):
    model = small()
    getattr(model.get_layer("dense"), method)(*args)
    return model


@pytest.mark.parametrize(
    ("method", "argument", "message"),
    [("enable_lora", 2, "uses LoRA"), ("quantize", "int8", "is quantized")],
)
def test_lora_and_quantized_layers_are_refused_unless_skipped(
    method, argument, message
):
    model, images = adapted(method, argument), random(3, 6, 6, 2)
    if method == "enable_lora":
        model.get_layer("dense").lora_kernel_b.assign(random(2, 5))
    with pytest.raises(InputError, match=f"{message}.*in `skip`.*layer='dense'"):
        convert(model)
    converted = convert(model, 0.0, skip="dense", verbose=False)
    np.testing.assert_allclose(converted(images), model(images), rtol=1e-4, atol=1e-4)


class MyConv(kl.Conv2D):
    pass


def test_every_layer_with_kernels_is_masked():
    steps = keras.Input((5, 8))
    x = kl.Bidirectional(kl.LSTM(4, return_sequences=True), name="recurrent")(steps)
    x = kl.TimeDistributed(kl.Dense(6), name="wrapped")(x)
    x = kl.MultiHeadAttention(2, 3, name="attention")(x, x)
    x = kl.EinsumDense("abc,cd->abd", (None, 4), name="einsum")(x)
    x = MyConv(3, 2, name="mine")(kl.Reshape((5, 4, 1))(x))
    model = randomize(keras.Model(steps, kl.Dense(2, name="top")(kl.Flatten()(x))))
    converted = convert(model, 0.0, verbose=False)
    names = ["recurrent", "wrapped", "attention", "einsum", "mine", "top"]
    assert sorted(sparsities(converted)) == sorted(names)
    for name in names:
        source, copied = model.get_layer(name), converted.get_layer(name)
        assert plain_class(copied) is type(source)
        kernels = [w.numpy() for w in source.weights if "kernel" in w.name]
        assert_same([w.kernel.numpy() for w in copied.masked_weights], kernels)
    inputs = random(2, 5, 8)
    assert_same(converted(inputs), model(inputs))
    assert "tfsupermask" not in fold(converted).to_json()


class Block(kl.Layer):
    """Two layers inside, and a weight that no rule takes for a kernel."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.inner, self.outer = (
            kl.Dense(units, name="inner"),
            kl.Dense(2, name="outer"),
        )

    def build(self, shape):
        self.inner.build(shape)
        self.outer.build((*shape[:-1], self.units))
        self.table = self.add_weight(shape=(2, 2), name="table")

    def call(self, inputs):
        return self.outer(self.inner(inputs)) @ self.table

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def composite():
    model = [keras.Input((4,)), Block(3, name="block"), kl.Dense(2, name="top")]
    return randomize(keras.Sequential(model))


@pytest.mark.filterwarnings("ignore:Only")
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, {"block/inner/kernel": 0.5, "block/outer/kernel": 0.5, "top/kernel": 0.5}),
        ({"skip": "inner"}, {"block/outer/kernel": 0.5, "top/kernel": 0.5}),
        ({"skip": "block"}, {"top/kernel": 0.5}),
        (
            {"sparsity": {"outer": 0.25, "block": 0.75}},
            {"block/inner/kernel": 0.75, "block/outer/kernel": 0.25},
        ),
        (
            {"sparsity": lambda layer: 0.5 if layer.name == "outer" else None},
            {"block/outer/kernel": 0.5},
        ),
        (
            {"kernels": lambda layer, variable: variable.name == "table"},
            {"block/table": 0.5},
        ),
    ],
)
def test_layers_inside_layers_count_by_their_names(arguments, expected, tmp_path):
    converted = convert(composite(), **arguments, verbose=False)
    inputs = random(5, 4)
    found = {weight.name: weight.sparsity for weight in masked_weights(converted)}
    assert found == expected
    converted.compile("sgd", "mse")
    converted.fit(inputs, random(5, 2), verbose=0)
    with keras.saving.custom_object_scope({"Block": Block}):
        converted.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        cloned = keras.models.clone_model(converted)
    cloned.set_weights(converted.get_weights())
    for again in (loaded, cloned):
        assert {w.name: w.sparsity for w in masked_weights(again)} == expected
        assert_same(again(inputs), converted(inputs))
    assert_same(fold(converted)(inputs), converted(inputs))


@pytest.mark.parametrize("name", method_names())
def test_every_method_converts(name):
    model, images = small(), random(3, 6, 6, 2)
    for scores in ("random", "magnitude"):
        converted = convert(model, 0.5, method=name, scores=scores, verbose=False)
        np.testing.assert_allclose(fold(converted)(images), converted(images), 1e-5)
    for weight in masked_weights(converted):
        magnitude, keeps = np.abs(weight.kernel.numpy()), weight.mask.numpy() != 0
        kept = magnitude.size - round(magnitude.size / 2)
        assert weight.num_kept == keeps.sum() == kept
        assert magnitude[keeps].min() >= magnitude[~keeps].max()


def test_given_weights_start_from_their_magnitudes_drawn_ones_at_random():
    for weight in masked_weights(convert(small(), verbose=False)):
        np.testing.assert_array_equal(weight.score, np.abs(weight.kernel.numpy()))
    drawn = convert(small(), initializer="glorot_normal", verbose=False)
    for weight in masked_weights(drawn):
        assert np.any(weight.score != np.abs(weight.kernel.numpy()))


def frozen(name):
    model = small()
    model.get_layer(name).trainable = False
    return model


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (lambda: convert(small(), verbose=False), {}, "3 layers were masked already"),
        (small, {"skip": ["dense"]}, r"Only \d+.\d% of the model"),
        (lambda: frozen("conv1"), {}, r"1 masks are not trained \(conv1/kernel\)"),
    ],
)
def test_what_may_surprise_is_said(make, arguments, message):
    model = make()
    with pytest.warns(UserWarning, match=message):
        convert(model, **arguments, verbose=False)


def test_supermask_layers_stay_as_they_are():
    model = randomize(
        keras.Sequential(
            [
                keras.Input((6, 6, 2)),
                SupermaskConv2D(
                    4, 3, sparsity=0.2, method="edge_popup_by_score", name="old"
                ),
                kl.Flatten(),
                kl.Dense(3, name="new"),
            ]
        )
    )
    converted = convert(model, 0.9, initializer="kaiming_normal", verbose=False)
    old, twin = model.get_layer("old"), converted.get_layer("old")
    assert sparsities(converted) == {"old": 0.2, "new": 0.9}
    assert twin.method.name == "edge_popup_by_score"
    np.testing.assert_array_equal(twin.score, old.score)
    np.testing.assert_array_equal(twin.kernel, old.kernel)
    with pytest.raises(InputError, match=r"must be 'uniform'.*\['old'\]"):
        convert(model, allocation="global")


def test_a_model_of_supermask_layers_alone_is_copied():
    model = models.build("conv2", (8, 8, 3), sparsity=0.3)
    converted = convert(model, 0.9, seed=5, verbose=False)
    assert sparsities(converted) == sparsities(model)
    assert_same(converted.get_weights(), model.get_weights())


def test_random_scores_are_a_function_of_seed_and_place():
    model = every_kind()
    arguments = {"scores": "random", "verbose": False}
    weights = masked_weights(convert(model, seed=3, **arguments))
    assert len(weights) == 8
    for place, weight in enumerate(weights):
        bound = 1 / np.sqrt(weight.fans[0])
        expected = keras.initializers.RandomUniform(
            -bound, bound, derive_seed(3, "score", place)
        )(weight.score.shape)
        np.testing.assert_array_equal(weight.score, expected)
    again, other = (convert(model, seed=seed, **arguments) for seed in (3, 4))
    for one, two, three in zip(
        weights, masked_weights(again), masked_weights(other), strict=True
    ):
        np.testing.assert_array_equal(one.score, two.score)
        assert np.any(one.score != three.score)


def test_magnitude_scores_start_from_magnitude_pruning():
    model = every_kind()
    converted = convert(model, 0.6, scores="magnitude", verbose=False)
    for weight in masked_weights(converted):
        kernel = np.abs(weight.kernel.numpy())
        np.testing.assert_array_equal(weight.score, kernel)
        kept = np.sort(kernel[weight.mask.numpy() == 1])
        np.testing.assert_array_equal(kept, np.sort(kernel.ravel())[-weight.num_kept :])


def test_magnitude_scores_follow_the_kernels_drawn_anew():
    converted = convert(
        small(), initializer="kaiming_uniform", scores="magnitude", verbose=False
    )
    for weight in masked_weights(converted):
        np.testing.assert_array_equal(weight.score, np.abs(weight.kernel.numpy()))


@pytest.mark.parametrize("name", init.NAMES)
def test_initializer_draws_kernels_anew_and_stays_in_the_layer(name):
    model = every_kind()
    converted = convert(model, initializer=name, seed=2, verbose=False)
    twin = keras.models.clone_model(model)
    init.initialize(twin, name, 2)
    for layer in supermask_layers(converted):
        for weight in layer.masked_weights:
            name = weight.kernel.name
            drawn = getattr(twin.get_layer(layer.name), name)
            np.testing.assert_array_equal(weight.kernel, drawn)
            field = {"depthwise_kernel": "depthwise", "pointwise_kernel": "pointwise"}
            kind = "depthwise" if layer.name == "depthwise" else "kernel"
            kind = field.get(name, kind)
            config = layer.get_config()[f"{kind}_initializer"]
            again = keras.initializers.deserialize(config)(weight.kernel.shape)
            np.testing.assert_array_equal(again, weight.kernel)


def test_initializer_leaves_skipped_layers_alone():
    model = small()
    converted = convert(
        model, initializer="signed_constant", skip="conv1", verbose=False
    )
    np.testing.assert_array_equal(
        converted.get_layer("conv1").kernel, model.get_layer("conv1").kernel
    )
    config = model.get_layer("conv1").get_config()
    assert converted.get_layer("conv1").get_config() == config
    assert np.unique(np.abs(converted.get_layer("conv2").kernel)).size == 1


def test_converted_conv2_is_the_conv2_of_models():
    built = models.build("conv2", (8, 8, 3), num_classes=4, sparsity=0.7, seed=6)
    plain = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            kl.Conv2D(64, 3, padding="same", use_bias=False, activation="relu"),
            kl.Conv2D(64, 3, padding="same", use_bias=False, activation="relu"),
            kl.MaxPooling2D(),
            kl.Flatten(),
            kl.Dense(256, use_bias=False, activation="relu"),
            kl.Dense(256, use_bias=False, activation="relu"),
            kl.Dense(4, use_bias=False),
        ]
    )
    converted = convert(plain, 0.7, initializer="glorot_normal", seed=6, verbose=False)
    for one, two in zip(masked_weights(built), masked_weights(converted), strict=True):
        np.testing.assert_array_equal(one.kernel, two.kernel)
        np.testing.assert_allclose(one.score, two.score, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("allocation", ["erdos_renyi", "global"])
def test_allocation_shares_one_sparsity_out(allocation):
    converted = convert(small(), 0.8, allocation=allocation, verbose=False)
    weights = masked_weights(converted)
    kept = sum(weight.num_kept for weight in weights)
    total = sum(weight.num_weights for weight in weights)
    assert kept == total - round(0.8 * total)
    assert len({round(weight.sparsity, 3) for weight in weights}) > 1


def test_global_allocation_looks_at_the_magnitudes():
    model = small()
    model.get_layer("conv2").kernel.assign(100 * model.get_layer("conv2").kernel)
    converted = convert(
        model, 0.5, allocation="global", scores="magnitude", verbose=False
    )
    assert converted.get_layer("conv2").sparsity == 0


def test_frozen_layers_stay_frozen_until_told():
    model = frozen("conv1")
    model.get_layer("bn").trainable = False
    converted = convert(model, verbose=False)
    conv1 = converted.get_layer("conv1")
    assert conv1.trainable_weights == []
    assert converted.get_layer("bn").trainable_weights == []
    conv1.trainable = True
    assert {weight.name for weight in conv1.trainable_weights} == {"score", "bias"}


def test_saved_and_loaded_model_is_the_same(tmp_path):
    converted = convert(every_kind(), 0.6, initializer="signed_constant", verbose=False)
    converted.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    images = random(2, 6, 6, 3)
    assert sparsities(loaded) == sparsities(converted)
    assert_same(loaded(images), converted(images))
    compiled = tf.function(converted)
    np.testing.assert_allclose(compiled(images), converted(images), rtol=1e-4)


def test_verbose_prints_the_summary(capsys):
    convert(small(), verbose=True)
    printed = capsys.readouterr().out
    assert printed.startswith("masked weight")
    assert "conv1/kernel" in printed
    convert(small(), verbose=False)
    assert capsys.readouterr().out == ""
