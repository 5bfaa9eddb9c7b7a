import copy
import functools
import math
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized
from keras.src import testing

from tfsupermask._validation import InputError
from tfsupermask.layers import (
    SupermaskConv1D,
    SupermaskConv2D,
    SupermaskConv2DTranspose,
    SupermaskConv3D,
    SupermaskDense,
    SupermaskDepthwiseConv2D,
    SupermaskSeparableConv2D,
    default_score_initializer,
    dense_forward,
    kernels_of,
    supermask_layers,
)
from tfsupermask.ops import RANKINGS, num_kept, top_k_mask

# Class, constructor arguments, input shape without the batch.
LAYERS = {
    "conv": (SupermaskConv2D, {"filters": 4, "kernel_size": 3}, (6, 6, 2)),
    "dense": (SupermaskDense, {"units": 5}, (7,)),
    "conv1d": (SupermaskConv1D, {"filters": 4, "kernel_size": 3}, (9, 3)),
    "causal": (
        SupermaskConv1D,
        {"filters": 4, "kernel_size": 2, "padding": "causal"},
        (9, 3),
    ),
    "conv3d": (SupermaskConv3D, {"filters": 3, "kernel_size": 2}, (4, 5, 4, 2)),
    "depthwise": (
        SupermaskDepthwiseConv2D,
        {"kernel_size": 3, "depth_multiplier": 2},
        (6, 6, 3),
    ),
    "separable": (
        SupermaskSeparableConv2D,
        {"filters": 4, "kernel_size": 3},
        (6, 6, 3),
    ),
    "transpose": (
        SupermaskConv2DTranspose,
        {"filters": 3, "kernel_size": 3, "strides": 2},
        (4, 4, 2),
    ),
}
# Shapes of the kernels of each kind.
KERNELS = {
    "conv": {"kernel": (3, 3, 2, 4)},
    "dense": {"kernel": (7, 5)},
    "conv1d": {"kernel": (3, 3, 4)},
    "causal": {"kernel": (2, 3, 4)},
    "conv3d": {"kernel": (2, 2, 2, 2, 3)},
    "depthwise": {"kernel": (3, 3, 3, 2)},
    "separable": {
        "depthwise_kernel": (3, 3, 3, 1),
        "pointwise_kernel": (1, 1, 3, 4),
    },
    "transpose": {"kernel": (3, 3, 3, 2)},
}
each_layer = pytest.mark.parametrize("kind", LAYERS)


def scores_of(kind):
    return {name.replace("kernel", "score") for name in KERNELS[kind]}


def names(variables):
    return {variable.name for variable in variables}


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(0)


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def make_layer(kind, **kwargs):
    layer_class, arguments, input_shape = LAYERS[kind]
    layer = layer_class(**arguments, **kwargs)
    layer.build((None, *input_shape))
    return layer


def make_input(kind, batch=3):
    return random(batch, *LAYERS[kind][2])


def make_model(**kwargs):
    return keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            SupermaskConv2D(4, 3, activation="relu", name="conv", **kwargs),
            keras.layers.Flatten(name="flatten"),
            SupermaskDense(3, use_bias=True, sparsity=0.8, name="dense", **kwargs),
        ]
    )


def make_nested_model():
    inner = keras.Sequential(
        [keras.Input((6, 6, 2)), SupermaskConv2D(3, 3, name="b")], name="inner"
    )
    image = keras.Input((6, 6, 1))
    x = SupermaskConv2D(2, 3, padding="same", use_bias=True, name="a")(image)
    x = keras.layers.Flatten()(inner(x))
    middle = keras.Input((x.shape[-1],))
    outer = keras.Model(middle, make_deepest()(SupermaskDense(4, name="c")(middle)))
    return keras.Model(image, SupermaskDense(2, name="e")(outer(x)))


def make_model_of_other_kinds():
    image = keras.Input((6, 6, 3))
    x = SupermaskDepthwiseConv2D(2, depth_multiplier=2, use_bias=True)(image)
    x = SupermaskSeparableConv2D(4, 2, sparsity=(0.2, 0.8), use_bias=True)(x)
    x = SupermaskConv2DTranspose(3, 2, strides=2, use_bias=True)(x)
    y = keras.layers.Reshape((64, 3))(x)
    y = SupermaskConv1D(2, 3, padding="causal", sparsity=0.4)(y)
    z = keras.layers.Reshape((8, 8, 3, 1))(x)
    z = SupermaskConv3D(2, 2, use_bias=True, method="edge_popup_by_score")(z)
    flat = [keras.layers.Flatten()(each) for each in (y, z)]
    return keras.Model(image, keras.layers.Concatenate()(flat))


def make_deepest():
    return keras.Sequential([keras.Input((4,)), SupermaskDense(5, name="d")])


def compile_model(model):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.5, momentum=0.9), loss)
    return model


def snapshot(model):
    return {variable.path: variable.numpy().copy() for variable in model.variables}


def randomize(model):
    """Gives every variable, biases included, a value no initializer would."""
    for index, variable in enumerate(model.variables):
        variable.assign(random(*variable.shape, seed=100 + index))


# Output shapes of the layers in `LAYERS` for a batch of 2.
OUTPUT_SHAPES = {
    "conv": (2, 4, 4, 4),
    "dense": (2, 5),
    "conv1d": (2, 7, 4),
    "causal": (2, 9, 4),
    "conv3d": (2, 3, 4, 3, 3),
    "depthwise": (2, 4, 4, 6),
    "separable": (2, 4, 4, 4),
    "transpose": (2, 9, 9, 3),
}


class KerasContract(testing.TestCase):
    @parameterized.named_parameters((kind, kind) for kind in LAYERS)
    def test_contract(self, kind):
        layer_class, arguments, input_shape = LAYERS[kind]
        for use_bias in (False, True):
            self.run_layer_test(
                layer_class,
                {**arguments, "use_bias": use_bias},
                input_shape=(2, *input_shape),
                expected_output_shape=OUTPUT_SHAPES[kind],
                expected_num_trainable_weights=len(KERNELS[kind]) + use_bias,
                expected_num_non_trainable_weights=len(KERNELS[kind]),
                expected_num_losses=0,
                supports_masking=kind == "dense",
            )


@each_layer
def test_trains_the_score_alone_unless_a_bias_is_asked_for(kind):
    without, with_bias = make_layer(kind), make_layer(kind, use_bias=True)
    assert names(without.trainable_weights) == scores_of(kind)
    assert names(with_bias.trainable_weights) == {*scores_of(kind), "bias"}
    for layer in (without, with_bias):
        assert names(layer.non_trainable_weights) == set(KERNELS[kind])


@each_layer
def test_kernel_stays_frozen_when_trainable_is_switched(kind):
    layer = make_layer(kind)
    model = keras.Sequential([layer])
    for owner in (layer, model):
        owner.trainable = False
        assert not layer.trainable
        assert layer.trainable_weights == []
        owner.trainable = True
        assert layer.trainable
        assert names(layer.trainable_weights) == scores_of(kind)


@each_layer
def test_kernel_stays_frozen_when_built_while_not_trainable(kind):
    layer = make_layer(kind, trainable=False)
    assert layer.trainable_weights == []
    layer.trainable = True
    assert names(layer.trainable_weights) == scores_of(kind)


@each_layer
@pytest.mark.parametrize("ranking", RANKINGS)
@pytest.mark.parametrize("sparsity", [0, 0.3, 0.5, 0.999999])
def test_mask_keeps_num_kept_weights_of_the_best_scores(sparsity, ranking, kind):
    layer = make_layer(kind, sparsity=sparsity, ranking=ranking)
    weights = layer.masked_weights
    assert {w.attribute: tuple(w.kernel.shape) for w in weights} == KERNELS[kind]
    for weight in weights:
        size = math.prod(KERNELS[kind][weight.attribute])
        kept = num_kept(size, sparsity)
        assert (weight.num_weights, weight.num_kept) == (size, kept)
        assert weight.mask.dtype == tf.float32
        assert float(tf.reduce_sum(weight.mask)) == kept
        expected = top_k_mask(weight.score.value, kept, ranking)
        np.testing.assert_array_equal(weight.mask, expected)
        np.testing.assert_array_equal(weight.masked(), weight.kernel.numpy() * expected)
    assert layer.num_weights == sum(weight.num_weights for weight in weights)
    assert layer.num_kept == sum(weight.num_kept for weight in weights)
    assert layer.realised_sparsity == 1 - layer.num_kept / layer.num_weights
    if len(weights) == 1:
        np.testing.assert_array_equal(layer.mask, weights[0].mask)
        np.testing.assert_array_equal(layer.masked_kernel(), weights[0].masked())


def test_realised_sparsity_is_what_rounding_leaves():
    assert make_layer("dense", sparsity=0.5).realised_sparsity == 1 - 17 / 35


@each_layer
def test_assigned_sparsity_takes_effect_in_eager_code(kind):
    layer, inputs = make_layer(kind, sparsity=0.9), make_input(kind)
    before = layer(inputs)
    layer.sparsity = 0.2
    sizes = [math.prod(shape) for shape in KERNELS[kind].values()]
    assert layer.num_kept == sum(num_kept(size, 0.2) for size in sizes)
    assert layer.get_config()["sparsity"] == 0.2
    assert np.any(before != layer(inputs))
    layer.sparsity = 0.9
    np.testing.assert_array_equal(before, layer(inputs))


@each_layer
@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled_function_follows_its_sparsity(kind, jit_compile):
    layer, inputs = make_layer(kind, sparsity=0.9), make_input(kind)
    compiled = tf.function(layer, jit_compile=jit_compile)
    for sparsity in (0.9, 0.2, 0.0, 0.5):
        layer.sparsity = sparsity
        np.testing.assert_allclose(layer(inputs), compiled(inputs), rtol=1e-4)
    assert compiled.experimental_get_tracing_count() == 1


@each_layer
@pytest.mark.parametrize("sparsity", [1, 1.0, -0.1, "0.5", None, float("nan")])
def test_refuses_a_bad_sparsity_when_made_and_when_assigned(sparsity, kind):
    layer_class, arguments, _ = LAYERS[kind]
    with pytest.raises(InputError, match=rf"`sparsity`.*sparsity={sparsity!r}"):
        layer_class(**arguments, sparsity=sparsity)
    layer = layer_class(**arguments)
    with pytest.raises(InputError, match="`sparsity`"):
        layer.sparsity = sparsity
    assert layer.sparsity == 0.5


@each_layer
@pytest.mark.parametrize("ranking", ["abs", None, "Magnitude"])
def test_refuses_an_unknown_ranking(ranking, kind):
    layer_class, arguments, _ = LAYERS[kind]
    with pytest.raises(InputError, match=rf"`ranking`.*ranking={ranking!r}"):
        layer_class(**arguments, ranking=ranking)


@each_layer
def test_gradient_is_straight_through(kind):
    layer, inputs = make_layer(kind, sparsity=0.7), make_input(kind)
    for weight in layer.masked_weights:
        with tf.GradientTape() as tape:
            masked = weight.masked()
            loss = tf.reduce_sum(masked**2)
        upstream = 2 * masked.numpy()
        np.testing.assert_allclose(
            tape.gradient(loss, weight.score.value),
            upstream * weight.kernel.numpy() * np.sign(weight.score.numpy()),
            rtol=1e-6,
        )
        # Those of the other kernel's channels that are cut off have no gradient.
        for other in layer.masked_weights:
            other.sparsity = 0.7 if other.attribute == weight.attribute else 0.0
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(inputs))
        gradient = tape.gradient(loss, weight.score.value).numpy()
        assert np.all(gradient[weight.mask.numpy() == 0] != 0)


@each_layer
@pytest.mark.parametrize(
    ("transform", "rtol"),
    [(tf.function, 1e-5), (functools.partial(tf.function, jit_compile=True), 1e-4)],
    ids=["graph", "xla"],
)
def test_compiled_layer_and_gradient_equal_eager(transform, rtol, kind):
    layer, inputs = make_layer(kind, sparsity=0.7, use_bias=True), make_input(kind)

    def step():
        with tf.GradientTape() as tape:
            outputs = layer(inputs)
            loss = tf.reduce_sum(outputs**2)
        scores = [weight.score.value for weight in layer.masked_weights]
        return outputs, *tape.gradient(loss, scores)

    for compiled, eager in zip(transform(step)(), step(), strict=True):
        np.testing.assert_allclose(compiled, eager, rtol=rtol, atol=rtol)


def test_scores_are_kaiming_uniform_unless_told():
    layer = SupermaskConv2D(64, 3)
    layer.build((None, 8, 8, 25))
    bound = 1 / np.sqrt(3 * 3 * 25)
    score = layer.score.numpy()
    assert np.abs(score).max() <= bound
    assert np.abs(score).max() > 0.99 * bound
    assert abs(score.mean()) < 0.02 * bound
    assert abs(score.std() / bound - 1 / np.sqrt(3)) < 0.01
    drawn = default_score_initializer(400)((400, 10)).numpy()
    assert 0.99 / 20 < np.abs(drawn).max() <= 1 / 20


@each_layer
@pytest.mark.parametrize("choice", ["ones", keras.initializers.Constant(0.25)])
def test_score_initializer_can_be_chosen(choice, kind):
    layer = make_layer(kind, score_initializer=choice)
    expected = 1 if choice == "ones" else 0.25
    for weight in layer.masked_weights:
        np.testing.assert_array_equal(
            weight.score.numpy(), np.full(weight.kernel.shape, expected)
        )


def test_unknown_score_initializer_is_refused():
    with pytest.raises(ValueError, match="nonsense"):
        SupermaskDense(3, score_initializer="nonsense")


@each_layer
def test_config_round_trip(kind):
    layer_class, arguments, input_shape = LAYERS[kind]
    given = {
        **arguments,
        "sparsity": 0.3,
        "method": "edge_popup_by_score",
        "score_initializer": keras.initializers.RandomNormal(stddev=0.1, seed=5),
        **{
            kernel.initializer: keras.initializers.HeNormal(seed=6)
            for kernel in kernels_of(layer_class(**arguments))
        },
        "use_bias": True,
        "activation": "relu",
        "name": "some_name",
    }
    layer = layer_class(**given)
    config = layer.get_config()
    assert set(given) <= set(config)
    assert config["sparsity"] == 0.3
    assert config["ranking"] == "score"
    assert config["use_bias"] is True
    twin = layer_class.from_config(config)
    assert twin.get_config() == config
    for copied in (layer, twin):
        copied.build((None, *input_shape))
    for one, two in zip(layer.masked_weights, twin.masked_weights, strict=True):
        np.testing.assert_array_equal(one.score, two.score)
        np.testing.assert_array_equal(one.kernel, two.kernel)


@each_layer
def test_keras_serialisation_finds_the_class_by_name(kind):
    layer_class = LAYERS[kind][0]
    serialized = keras.saving.serialize_keras_object(make_layer(kind, sparsity=0.3))
    assert serialized["registered_name"] == f"tfsupermask>{layer_class.__name__}"
    twin = keras.saving.deserialize_keras_object(serialized)
    assert type(twin) is layer_class
    assert twin.sparsity == 0.3


def by_keras_file(model, tmp_path):
    model.save(tmp_path / "model.keras")
    return keras.models.load_model(tmp_path / "model.keras")


def by_legacy_file(model, tmp_path):
    model.save(tmp_path / "model.h5")
    return keras.models.load_model(tmp_path / "model.h5")


def by_weights_file(model, tmp_path):
    model.save_weights(tmp_path / "model.weights.h5")
    twin = keras.models.clone_model(model)
    twin.load_weights(tmp_path / "model.weights.h5")
    return twin


def by_get_weights(model, tmp_path):
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    return twin


def by_pickle(model, tmp_path):
    return pickle.loads(pickle.dumps(model))


def by_deepcopy(model, tmp_path):
    return copy.deepcopy(model)


@pytest.mark.parametrize(
    "make", [make_model, make_nested_model, make_model_of_other_kinds]
)
@pytest.mark.parametrize(
    "way",
    [
        by_keras_file,
        by_legacy_file,
        by_weights_file,
        by_get_weights,
        by_pickle,
        by_deepcopy,
    ],
)
def test_a_copy_has_the_same_variables_and_output(way, make, tmp_path):
    model = make()
    randomize(model)
    twin = way(model, tmp_path)
    layers, twins = supermask_layers(model), supermask_layers(twin)
    assert [layer.name for layer in layers] == [layer.name for layer in twins]
    for layer, other in zip(layers, twins, strict=True):
        assert other is not layer
        assert other.sparsity == layer.sparsity
        for one, two in zip(layer.masked_weights, other.masked_weights, strict=True):
            np.testing.assert_array_equal(one.kernel, two.kernel)
            np.testing.assert_array_equal(one.score, two.score)
        if layer.bias is not None:
            np.testing.assert_array_equal(layer.bias, other.bias)
        scores = {weight.score_attribute for weight in layer.masked_weights}
        trained = scores | ({"bias"} if layer.use_bias else set())
        assert names(other.trainable_weights) == trained
    inputs = random(2, *model.input_shape[1:])
    np.testing.assert_array_equal(model(inputs), twin(inputs))


def test_saving_after_training_keeps_the_optimizer_in_step(tmp_path):
    model = compile_model(make_model())
    inputs, labels = random(8, 6, 6, 2), np.arange(8) % 3
    model.fit(inputs, labels, verbose=0)
    twin = by_keras_file(model, tmp_path)
    for one in (model, twin):
        one.fit(inputs, labels, epochs=2, shuffle=False, verbose=0)
    for layer, other in zip(*map(supermask_layers, (model, twin)), strict=True):
        np.testing.assert_allclose(layer.score, other.score, rtol=1e-5)


def test_exported_model_gives_the_same_output(tmp_path):
    model = make_nested_model()
    randomize(model)
    model.export(tmp_path / "saved", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    inputs = random(2, 6, 6, 1)
    np.testing.assert_allclose(
        loaded.serve(inputs), model(inputs), rtol=1e-5, atol=1e-5
    )


def test_clone_has_the_same_structure_and_seeded_values():
    kernel = keras.initializers.GlorotNormal(seed=1)
    model = make_model(kernel_initializer=kernel, method="edge_popup_by_score")
    clone = keras.models.clone_model(model)
    for layer, other in zip(*map(supermask_layers, (model, clone)), strict=True):
        assert (other.sparsity, other.ranking) == (layer.sparsity, "score")
        np.testing.assert_array_equal(layer.kernel, other.kernel)
        assert [w.name for w in other.non_trainable_weights] == ["kernel"]


@pytest.mark.parametrize("stored", [["kernel"], [], ["0", "1"], ["bias", "kernel"]])
def test_refuses_variables_without_a_score(stored):
    layer = make_layer("dense")
    before = layer.kernel.numpy().copy()
    with pytest.raises(InputError) as error:
        layer.load_own_variables({name: np.ones((7, 5)) for name in stored})
    assert str(error.value) == (
        f"Layer '{layer.name}' must be stored as ['kernel', 'score']. "
        f"Received: stored={stored!r}"
    )
    np.testing.assert_array_equal(layer.kernel, before)


def test_refuses_a_weights_file_of_plain_layers(tmp_path):
    plain = keras.Sequential([keras.Input((7,)), keras.layers.Dense(5, use_bias=False)])
    plain.save_weights(tmp_path / "plain.weights.h5")
    model = keras.Sequential([keras.Input((7,)), SupermaskDense(5)])
    with pytest.raises(ValueError, match=r"must be stored as \['kernel', 'score'\]"):
        model.load_weights(tmp_path / "plain.weights.h5")


def test_refuses_a_bias_that_the_layer_does_not_have():
    store = {}
    make_layer("dense", use_bias=True).save_own_variables(store)
    assert sorted(store) == ["bias", "kernel", "score"]
    with pytest.raises(InputError, match="must be stored as"):
        make_layer("dense").load_own_variables(store)


def test_an_unbuilt_layer_stores_and_loads_nothing():
    store = {}
    layer = SupermaskDense(3)
    layer.save_own_variables(store)
    layer.load_own_variables(store)
    assert store == {}


@each_layer
@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16", "bfloat16"])
def test_half_precision_ranks_float32_scores(dtype, kind):
    layer, inputs = make_layer(kind, dtype=dtype), make_input(kind)
    compute_dtype = dtype.removeprefix("mixed_")
    weights = layer.masked_weights
    for weight in weights:
        # All alike in bfloat16 and float16.
        order = np.random.default_rng(0).permutation(weight.num_weights)
        weight.score.assign((1 + order * 2.0**-22).reshape(weight.kernel.shape))
        assert weight.score.dtype == "float32"
        assert weight.kernel.dtype == ("float32" if "mixed" in dtype else dtype)
        expected = top_k_mask(tf.constant(weight.score.numpy()), weight.num_kept)
        np.testing.assert_array_equal(weight.mask, expected)
    with tf.GradientTape() as tape:
        outputs = layer(inputs)
        loss = tf.reduce_sum(outputs)
    assert outputs.dtype == compute_dtype
    for gradient in tape.gradient(loss, [weight.score.value for weight in weights]):
        assert gradient.dtype == tf.float32
        assert np.all(np.isfinite(gradient))

    reference = make_layer(kind)
    for weight, other in zip(weights, reference.masked_weights, strict=True):
        other.kernel.assign(keras.ops.cast(weight.kernel, "float32"))
        other.score.assign(weight.score)
    np.testing.assert_allclose(
        tf.cast(outputs, tf.float32), reference(inputs), rtol=0.05, atol=0.1
    )


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_fit_trains_scores_and_biases_but_never_kernels(dtype):
    model = compile_model(make_model(dtype=dtype))
    before = snapshot(model)
    labels = np.arange(16) % 3
    inputs = random(16, 6, 6, 2) + labels[:, None, None, None]
    history = model.fit(inputs, labels, epochs=4, verbose=0).history["loss"]
    assert history[-1] < history[0]
    for variable in model.variables:
        changed = np.any(before[variable.path] != variable.numpy())
        assert changed == (not variable.path.endswith("kernel")), variable.path
    for layer in supermask_layers(model):
        assert float(tf.reduce_sum(layer.mask)) == layer.num_kept


def test_fit_runs_under_xla():
    model = make_model()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, jit_compile=True)
    before = snapshot(model)
    model.fit(random(8, 6, 6, 2), np.arange(8) % 3, verbose=0)
    for layer in supermask_layers(model):
        np.testing.assert_array_equal(before[layer.kernel.path], layer.kernel)
        assert np.any(before[layer.score.path] != layer.score.numpy())


def test_fit_under_mirrored_strategy_equals_one_device(two_replicas):
    inputs, labels = random(16, 6, 6, 2), np.arange(16) % 3
    single = compile_model(make_model())
    start = single.get_weights()
    assert two_replicas.num_replicas_in_sync == 2
    with two_replicas.scope():
        mirrored = compile_model(make_model())
    mirrored.set_weights(start)
    for model in (single, mirrored):
        model.fit(inputs, labels, batch_size=8, epochs=3, shuffle=False, verbose=0)
    for layer, other in zip(*map(supermask_layers, (single, mirrored)), strict=True):
        np.testing.assert_array_equal(layer.kernel.numpy(), other.kernel.numpy())
        np.testing.assert_allclose(
            layer.score.numpy(), other.score.numpy(), rtol=1e-4, atol=1e-6
        )
    after = single.get_weights()
    assert any(np.any(old != new) for old, new in zip(start, after, strict=True))


def test_summary_counts_scores_and_kernels():
    lines = []
    model = make_model()
    model.summary(print_fn=lambda line, **_: lines.append(line))
    text = "\n".join(lines)
    scores = 3 * 3 * 2 * 4 + 64 * 3
    assert f"Trainable params: {scores + 3}" in text
    assert f"Non-trainable params: {scores}" in text


def test_supermask_layers_are_in_order_with_nested_ones():
    names = [layer.name for layer in supermask_layers(make_nested_model())]
    assert names == ["a", "b", "c", "d", "e"]


def test_supermask_layers_of_a_plain_model_is_empty():
    plain = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    assert supermask_layers(plain) == []


def test_dense_forward_uses_all_weights_within_and_none_of_it_after():
    model, inputs = make_nested_model(), random(2, 6, 6, 1)
    layers = supermask_layers(model)
    for index, layer in enumerate(layers):
        layer.sparsity = 0.1 * (index + 1)
    sparsities = [layer.sparsity for layer in layers]
    masked = model(inputs)
    with dense_forward(model):
        assert [layer.num_kept for layer in layers] == [
            each.num_weights for each in layers
        ]
        dense = model(inputs)
    assert np.any(dense != masked)
    assert [layer.sparsity for layer in layers] == sparsities
    np.testing.assert_array_equal(model(inputs), masked)


def test_dense_forward_restores_after_an_exception():
    model = make_model()
    with pytest.raises(RuntimeError, match="inside"), dense_forward(model):
        raise RuntimeError("inside")
    assert [layer.sparsity for layer in supermask_layers(model)] == [0.5, 0.8]


@each_layer
def test_refuses_lora(kind):
    layer = make_layer(kind)
    with pytest.raises(InputError, match=r"cannot use LoRA.*rank=2"):
        layer.enable_lora(2)
    assert not getattr(layer, "lora_enabled", False)


@pytest.mark.parametrize("kind", ["conv", "dense", "conv1d", "conv3d"])
def test_refuses_lora_when_made(kind):
    with pytest.raises(InputError, match=r"cannot use LoRA.*rank=2"):
        make_layer(kind, lora_rank=2)


@each_layer
@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
def test_refuses_quantization(mode, kind):
    policy = f"{mode}_from_float32"
    with pytest.raises(InputError, match=rf"no quantized form.*dtype='{policy}'"):
        make_layer(kind, dtype=policy)
    layer, inputs = make_layer(kind), make_input(kind)
    before = layer(inputs)
    with pytest.raises(NotImplementedError):
        layer.quantize(mode)
    np.testing.assert_array_equal(layer(inputs), before)
