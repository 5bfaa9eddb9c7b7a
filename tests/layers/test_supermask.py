"""The layers as Keras sees them, and their sparsity."""

import contextlib
import functools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized
from keras.src import testing

from tests.layers.kinds import (
    KINDS,
    NAMED,
    Bilinear,
    Composite,
    OwnModel,
    kept_by_hand,
    masked,
    random,
)
from tfsupermask import layers
from tfsupermask._validation import InputError
from tfsupermask.conversion import convert
from tfsupermask.layers import (
    SupermaskConv2D,
    SupermaskDense,
    SupermaskMixin,
    SupermaskSeparableConv2D,
    default_score_initializer,
    dense_forward,
    kernels_of,
    masked_weights,
    masks_applied,
    masks_found_once,
    plain_class,
    supermask,
    supermask_class,
    supermask_layers,
)
from tfsupermask.ops import num_kept

FEW = ["dense", "separable", "lstm", "composite", "model"]
each_of_few = pytest.mark.parametrize("kind", FEW)


def class_and_arguments(kind):
    plain = KINDS[kind].make()
    arguments = plain.get_config()
    return supermask_class(type(plain)), {**arguments, "name": None, "use_bias": False}


def make_layer(kind, **kwargs):
    layer_class, arguments = class_and_arguments(kind)
    layer = layer_class(**{**arguments, **kwargs})
    layer.build((None, *KINDS[kind].input_shapes[0]))
    return layer


def make_model(**kwargs):
    conv = SupermaskConv2D(4, 3, activation="relu", name="conv", **kwargs)
    dense = SupermaskDense(3, use_bias=True, sparsity=0.8, name="dense", **kwargs)
    flatten = keras.layers.Flatten(name="flatten")
    return keras.Sequential([keras.Input((6, 6, 2)), conv, flatten, dense])


def make_nested_model():
    inner = keras.Sequential([keras.Input((6, 6, 2)), SupermaskConv2D(3, 3, name="b")])
    deepest = keras.Sequential([keras.Input((4,)), SupermaskDense(5, name="d")])
    image = keras.Input((6, 6, 1))
    x = SupermaskConv2D(2, 3, padding="same", use_bias=True, name="a")(image)
    x = keras.layers.Flatten()(inner(x))
    middle = keras.Input((x.shape[-1],))
    outer = keras.Model(middle, deepest(SupermaskDense(4, name="c")(middle)))
    x = keras.layers.Reshape((1, 5))(outer(x))
    return keras.Model(image, supermask(keras.layers.GRU(2, name="e"))(x))


def compile_model(model, **kwargs):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.5, momentum=0.9), loss, **kwargs)
    return model


def names(variables):
    return [variable.path.split("/")[-1] for variable in variables]


class KerasContract(testing.TestCase):
    @parameterized.named_parameters((kind, kind) for kind in NAMED)
    def test_contract(self, kind):
        layer_class, arguments = class_and_arguments(kind)
        count = len(KINDS[kind].kernels)
        shape = (2, *KINDS[kind].input_shapes[0])
        self.run_layer_test(
            layer_class,
            {**arguments, "use_bias": True},
            input_shape=shape,
            expected_output_shape=KINDS[kind].make().compute_output_shape(shape),
            expected_num_trainable_weights=count + 1,
            expected_num_non_trainable_weights=2 * count,
            expected_num_losses=0,
            supports_masking=kind == "dense",
        )


@pytest.mark.parametrize("kind", KINDS)
def test_classes_and_names(kind):
    plain = KINDS[kind].make()
    layer = masked(kind, sparsity=0.3)
    assert isinstance(layer, (SupermaskMixin, type(plain)))
    assert plain_class(layer) is plain_class(type(layer)) is type(plain)
    assert supermask_class(type(plain)) is type(layer)
    name = f"Supermask{type(plain).__name__}"
    assert type(layer).__name__ == name
    has_name = kind in (*NAMED, "grouped")
    assert not has_name or type(layer) is getattr(layers, name)
    serialized = keras.saving.serialize_keras_object(layer)
    registered = name if has_name else "Supermask"
    assert serialized["registered_name"] == f"tfsupermask>{registered}"
    twin = keras.saving.deserialize_keras_object(serialized)
    assert type(twin) is type(layer)
    assert (twin.name, twin.sparsity) == (layer.name, 0.3)
    assert twin.get_config() == layer.get_config()


@pytest.mark.parametrize("kind", [*NAMED, "lstm", "composite"])
def test_config_round_trip(kind):
    plain = KINDS[kind].make()
    plain(*KINDS[kind].inputs())
    config = plain.get_config()
    for kernel in kernels_of(plain):
        if kernel.initializer_name in config:
            config[kernel.initializer_name] = keras.initializers.HeNormal(seed=6)
    normal = keras.initializers.RandomNormal(stddev=0.1, seed=5)
    mask = {"sparsity": 0.3, "method": "edge_popup_by_score"}
    plain = type(plain).from_config({**config, "name": "some_name"})
    layer = supermask(plain, score_initializer=normal, **mask)
    found = layer.get_config()
    assert (found["sparsity"], found["method"]) == (0.3, "edge_popup_by_score")
    drawn_by = found["score_initializer"]["config"]
    assert drawn_by == {"mean": 0.0, "stddev": 0.1, "seed": 5}
    twin = type(layer).from_config(found)
    assert twin.get_config() == found
    for each in (layer, twin):
        each(*KINDS[kind].inputs())
    for one, two in zip(layer.masked_weights, twin.masked_weights, strict=True):
        np.testing.assert_array_equal(one.score, two.score)
        if kind != "composite":
            np.testing.assert_array_equal(one.kernel, two.kernel)


def test_an_activation_may_be_any_function():
    layer = supermask(keras.layers.Dense(3, activation=lambda x: 2 * x), sparsity=0)
    inputs = np.ones((1, 4), np.float32)
    np.testing.assert_allclose(layer(inputs), 2 * inputs @ layer.kernel, rtol=1e-6)


def test_a_layer_may_read_its_activation_from_its_config_itself():
    class Own(keras.layers.Layer):
        def __init__(self, activation="relu", **kwargs):
            super().__init__(**kwargs)
            self.activation = keras.activations.get(activation)
            self.dense = keras.layers.Dense(3)

        def call(self, inputs):
            return self.activation(self.dense(inputs))

        def get_config(self):
            name = keras.activations.serialize(self.activation)
            return {**super().get_config(), "activation": name}

        @classmethod
        def from_config(cls, config):
            activation = keras.activations.deserialize(config.pop("activation"))
            return cls(activation, **config)

    layer = supermask(Own("tanh"))
    assert layer.activation is keras.activations.tanh


@keras.saving.register_keras_serializable("tests")
class WithAttribute(Bilinear):
    """Keeps something of its own by a name."""

    def __init__(self, name_of_mine, **kwargs):
        super().__init__(**kwargs)
        self.name_of_mine = name_of_mine
        setattr(self, name_of_mine, "mine")

    def call(self, inputs):
        assert getattr(self, self.name_of_mine) == "mine"
        return super().call(inputs)

    def get_config(self):
        return {**super().get_config(), "name_of_mine": self.name_of_mine}


@pytest.mark.parametrize("name", ["_weights", "_positions", "_method", "_sparsity"])
def test_attributes_of_the_layer_stay_its_own(name):
    layer = supermask(WithAttribute(name), sparsity=0.6)
    assert layer(random(2, 5)).shape == (2, 3)
    assert (getattr(layer, name), layer.num_kept) == ("mine", 6)


@pytest.mark.parametrize("name", ["mask", "score", "method", "score_initializer"])
def test_refuses_attributes_that_supermask_layers_have(name):
    layer = WithAttribute(name)
    layer(random(2, 5))
    message = rf"must not have.*attributes=\['{name}'\]"
    with pytest.raises(InputError, match=message):
        supermask(layer)
    with pytest.raises(InputError, match=message):
        convert(keras.Sequential([keras.Input((5,)), layer]), verbose=False)


def test_arguments_of_a_mask_may_be_those_of_the_layer():
    @keras.saving.register_keras_serializable("tests")
    class Odd(Bilinear):
        def __init__(self, sparsity, method, **kwargs):
            super().__init__(**kwargs)
            self.mine = (sparsity, method)

        def get_config(self):
            mine = {"sparsity": self.mine[0], "method": self.mine[1]}
            return {**super().get_config(), **mine}

    layer = supermask(Odd(3, "mine"), sparsity=0.9)
    twin = type(layer).from_config(layer.get_config())
    for each in (layer, twin):
        assert each.mine == (3, "mine")
        assert (each.sparsity, each.method.name) == (0.9, "edge_popup")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("trainable", [True, False])
def test_what_is_trained(kind, trainable):
    layer = supermask(KINDS[kind].make())
    layer.trainable = trainable  # when it is built
    layer(*KINDS[kind].inputs())
    kernels = {id(weight.kernel) for weight in layer.masked_weights}
    plain = KINDS[kind].make()
    plain(*KINDS[kind].inputs())
    model = keras.Sequential([layer])
    for owner in (layer, model):
        owner.trainable = False
        assert not layer.trainable
        assert layer.trainable_weights == []
        owner.trainable = True
        assert layer.trainable
        assert names(layer.trainable_weights).count("score") == len(kernels)
        assert len(layer.trainable_weights) == len(plain.trainable_weights)
        assert not kernels & {id(each) for each in layer.trainable_weights}
        assert not any(weight.kernel.trainable for weight in layer.masked_weights)


@pytest.mark.parametrize("kind", [*NAMED, *FEW])
@pytest.mark.parametrize("sparsity", [0, 0.3, 0.5, 0.999999])
def test_mask_keeps_num_kept_weights_of_the_best_scores(sparsity, kind):
    layer = masked(kind, sparsity=sparsity)
    weights = layer.masked_weights
    shapes = [shape for _, shape, *_ in KINDS[kind].kernels]
    for weight, shape, kernel in zip(
        weights, shapes, layer.effective_kernels(), strict=True
    ):
        kept = num_kept(math.prod(shape), sparsity)
        assert (weight.num_weights, weight.num_kept) == (math.prod(shape), kept)
        assert weight.mask.dtype == tf.float32
        expected = kept_by_hand(weight)
        assert np.count_nonzero(expected) == kept
        np.testing.assert_array_equal(weight.mask, expected)
        for found in (weight.masked(), kernel):
            np.testing.assert_array_equal(found, weight.kernel * expected)
    assert layer.num_weights == sum(weight.num_weights for weight in weights)
    assert layer.num_kept == sum(weight.num_kept for weight in weights)
    assert layer.realised_sparsity == 1 - layer.num_kept / layer.num_weights
    if len(weights) == 1:
        assert layer.score is weights[0].score
        np.testing.assert_array_equal(layer.mask, weights[0].mask)
        np.testing.assert_array_equal(layer.masked_kernel(), weights[0].masked())


def test_several_or_no_kernels_have_no_single_mask():
    layer = SupermaskSeparableConv2D(4, 3, name="sep")
    assert layer.realised_sparsity == 0
    singles = (lambda: layer.mask, lambda: layer.score, layer.masked_kernel)
    for single in singles:
        with pytest.raises(InputError, match=r"must be built.*kernels=\[\]"):
            single()
    layer.build((None, 6, 6, 2))
    for single in singles:
        with pytest.raises(InputError, match=r"one mask.*'sep/depthwise_kernel', 'se"):
            single()


@each_of_few
@pytest.mark.parametrize("jit_compile", [False, True])
def test_assigned_sparsity_takes_effect_compiled_too(kind, jit_compile):
    layer, inputs = masked(kind, sparsity=0.9), KINDS[kind].inputs()
    compiled = tf.function(layer, jit_compile=jit_compile)
    before = layer(*inputs)
    for sparsity in (0.9, 0.2, 0.0, 0.5, 0.9):
        layer.sparsity = sparsity
        sizes = [weight.num_weights for weight in layer.masked_weights]
        assert layer.num_kept == sum(num_kept(size, sparsity) for size in sizes)
        assert layer.get_config()["sparsity"] == layer.sparsity == sparsity
        outputs = layer(*inputs)
        np.testing.assert_allclose(outputs, compiled(*inputs), rtol=1e-4, atol=1e-5)
        assert np.any(outputs != before) or sparsity == 0.9
    np.testing.assert_array_equal(outputs, before)
    assert compiled.experimental_get_tracing_count() == 1


def test_assigned_sparsities_do_not_make_or_remove_masks():
    for made, assigned in (((0.5, 0.4), (0.9, None)), ((0.5, None), (0.5, 0.9))):
        layer = SupermaskSeparableConv2D(8, 3, sparsity=made)
        layer.build((None, 6, 6, 2))
        before = layer.num_kept
        with pytest.raises(InputError, match=r"without a mask.*sparsity=.*before="):
            layer.sparsity = assigned
        assert (layer.sparsity, layer.num_kept) == (made, before)
    layer.sparsity = (0.9, None)
    assert layer.sparsity == (0.9, None)


@each_of_few
def test_refuses_a_bad_sparsity_and_a_bad_method(kind):
    for sparsity in (1, 1.0, -0.1, "0.5", None, float("nan")):
        with pytest.raises(InputError, match=rf"`sparsity`.*sparsity={sparsity!r}"):
            supermask(KINDS[kind].make(), sparsity=sparsity)
        for layer in (supermask(KINDS[kind].make()), masked(kind)):
            with pytest.raises(InputError, match="`sparsity`"):
                layer.sparsity = sparsity
            assert layer.sparsity == 0.5
    for method in ("abs", None, "Magnitude", 3):
        with pytest.raises(InputError, match=rf"`method`.*method={method!r}"):
            supermask(KINDS[kind].make(), method=method)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (SupermaskConv2D(64, 3), (8, 8, 25)),
        (layers.SupermaskConv2DTranspose(64, 3), (8, 8, 25)),
        (SupermaskSeparableConv2D(200, 5), (8, 8, 64)),
        (supermask(keras.layers.GRU(64)), (3, 64)),
        (supermask(keras.layers.EinsumDense("abc,cd->abd", (None, 64))), (3, 64)),
    ],
)
def test_scores_are_kaiming_uniform_unless_told(layer, shape):
    layer.build((None, *shape))
    for weight in layer.masked_weights:
        bound = 1 / np.sqrt(weight.fans[0])
        score = weight.score.numpy()
        assert 0.98 * bound < np.abs(score).max() <= bound
        assert abs(score.mean()) < 0.05 * bound
        assert abs(score.std() / bound - 1 / np.sqrt(3)) < 0.02
    drawn = default_score_initializer(400)((400, 10)).numpy()
    assert 0.99 / 20 < np.abs(drawn).max() <= 1 / 20


@each_of_few
def test_score_initializer_can_be_chosen(kind):
    for choice, value in (("ones", 1), (keras.initializers.Constant(0.25), 0.25)):
        layer = supermask(KINDS[kind].make(), score_initializer=choice)
        layer(*KINDS[kind].inputs())
        for weight in layer.masked_weights:
            np.testing.assert_array_equal(weight.score, 0 * weight.score + value)
    with pytest.raises(ValueError, match="nonsense"):
        supermask(KINDS[kind].make(), score_initializer="nonsense")


@pytest.mark.parametrize(
    ("dtype", "jit_compile"),
    [
        ("float32", False),
        ("mixed_bfloat16", False),
        ("mixed_float16", True),
    ],
)
def test_fit_trains_scores_and_biases_but_never_kernels(dtype, jit_compile):
    model = compile_model(make_model(dtype=dtype), jit_compile=jit_compile)
    before = {variable.path: variable.numpy() for variable in model.variables}
    labels = np.arange(16) % 3
    inputs = random(16, 6, 6, 2) + labels[:, None, None, None]
    history = model.fit(inputs, labels, epochs=4, verbose=0).history["loss"]
    assert history[-1] < history[0]
    for variable in model.variables:
        changed = np.any(before[variable.path] != variable.numpy())
        assert changed == variable.path.endswith(("score", "bias")), variable.path
    for layer in supermask_layers(model):
        assert float(tf.reduce_sum(layer.mask)) == layer.num_kept


@pytest.mark.parametrize("nested", [True, False])
def test_fit_under_mirrored_strategy_equals_one_device(nested, two_replicas):
    inputs = random(16, *((6, 6, 1) if nested else (5,)))
    labels = np.arange(16) % 2

    def make():
        model = make_nested_model() if nested else supermask(OwnModel(rate=0.0))
        model(inputs)
        return compile_model(model)

    single = make()
    start = single.get_weights()
    assert two_replicas.num_replicas_in_sync == 2
    with two_replicas.scope():
        mirrored = make()
    mirrored.set_weights(start)
    for model in (single, mirrored):
        model.fit(inputs, labels, batch_size=8, epochs=2, shuffle=False, verbose=0)
    for one, two in zip(*map(masked_weights, (single, mirrored)), strict=True):
        np.testing.assert_array_equal(one.kernel.numpy(), two.kernel.numpy())
        if nested:  # the averages of the other are each replica's own
            scores = (one.score.numpy(), two.score.numpy())
            np.testing.assert_allclose(*scores, rtol=1e-4, atol=1e-6)
    after = single.get_weights()
    assert any(np.any(old != new) for old, new in zip(start, after, strict=True))


def test_supermask_layers_are_in_order_with_nested_ones():
    found = [layer.name for layer in supermask_layers(make_nested_model())]
    assert found == ["a", "b", "c", "d", "e"]
    plain = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    assert supermask_layers(plain) == []


def test_dense_forward_uses_all_weights_within_and_none_of_it_after():
    model, inputs = make_nested_model(), random(2, 6, 6, 1)
    layers = supermask_layers(model)
    for index, layer in enumerate(layers):
        layer.sparsity = 0.1 * (index + 1)
    sparsities, masked = [layer.sparsity for layer in layers], model(inputs)
    with contextlib.suppress(RuntimeError), dense_forward(model):
        assert all(layer.num_kept == layer.num_weights for layer in layers)
        dense = model(inputs)
        raise RuntimeError
    assert np.any(dense != masked)
    assert [layer.sparsity for layer in layers] == sparsities
    np.testing.assert_array_equal(model(inputs), masked)


@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_masks_found_once(mode, monkeypatch):
    """Outputs, gradients, averages and losses are those of several calls without."""
    model = keras.Sequential([keras.Input((5,)), supermask(Composite())])
    found = []
    method = type(masked_weights(model)[0].method)
    find = method.masked_kernel
    monkeypatch.setattr(
        method, "masked_kernel", lambda *args: found.append(1) or find(*args)
    )
    inputs, start = random(8, 5), [each.numpy() for each in model.variables]
    scores = [weight.score.value for weight in masked_weights(model)]

    def run(context):
        for variable, value in zip(model.variables, start, strict=True):
            variable.assign(value)
        found.clear()

        def twice():
            with tf.GradientTape() as tape, context():
                outputs = [model(inputs, training=True) for _ in range(2)]
                loss = tf.reduce_sum(outputs)
            return outputs, tape.gradient(loss, scores), model.losses[:2]

        results = (twice if mode == "eager" else tf.function(twice))()
        return tf.nest.flatten(results) + [each.numpy() for each in model.variables]

    once = run(functools.partial(masks_found_once, model))
    assert len(found) == 2
    twice = run(functools.partial(masks_applied, []))
    assert len(found) == 4
    for one, other in zip(once, twice, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [*NAMED, "lstm"])
def test_refuses_lora(kind):
    layer = masked(kind)
    with pytest.raises(InputError, match=r"cannot use LoRA.*rank=2"):
        layer.enable_lora(2)
    assert not getattr(layer, "lora_enabled", False)
    if kind in ("conv", "dense", "conv1d", "conv3d"):
        with pytest.raises(InputError, match=r"cannot use LoRA.*rank=2"):
            make_layer(kind, lora_rank=2)


@pytest.mark.parametrize("kind", [*NAMED, "einsum"])
def test_refuses_quantization(kind):
    for mode in ("int8", "int4", "float8"):
        policy = f"{mode}_from_float32"
        plain = KINDS[kind].make()
        plain.dtype_policy = policy
        layer = supermask(plain)
        with pytest.raises(InputError, match=rf"no quantized form.*dtype='{policy}'"):
            layer.build((None, *KINDS[kind].input_shapes[0]))
        layer, inputs = masked(kind), KINDS[kind].inputs()
        before = layer(*inputs)
        with pytest.raises(NotImplementedError):
            layer.quantize(mode)
        np.testing.assert_array_equal(layer(*inputs), before)


@pytest.mark.parametrize("kind", ["dense", "attention"])
def test_quantizing_a_model_says_what_is_not(kind):
    inputs = [keras.Input(shape) for shape in KINDS[kind].input_shapes]
    plain = keras.layers.Dense(3)
    model = keras.Model(inputs, plain(supermask(KINDS[kind].make())(*inputs)))
    before = model.layers[-2](*KINDS[kind].inputs())
    with pytest.warns(UserWarning, match=r"kernel_mask' is not quantized.*`fold`"):
        model.quantize("int8")
    assert plain.quantization_mode == "int8"
    np.testing.assert_array_equal(model.layers[-2](*KINDS[kind].inputs()), before)


def test_layers_inside_refuse_as_well():
    layer, inputs = masked("attention"), KINDS["attention"].inputs()
    before, inside = layer(*inputs), layer._query_dense
    with pytest.raises(InputError, match=rf"'{layer.name}' cannot use LoRA"):
        inside.enable_lora(2)
    with pytest.raises(NotImplementedError, match="`fold` the model first"):
        inside.quantize("int8")
    np.testing.assert_array_equal(layer(*inputs), before)


@pytest.mark.parametrize("initializer", ["he_uniform", keras.initializers.HeUniform(3)])
def test_kernels_of_a_layer_get_scores_of_their_own(initializer):
    def scores():
        layer = keras.layers.MultiHeadAttention(2, 4)
        masked = supermask(layer, score_initializer=initializer)
        masked(*[np.ones((1, 3, 8))] * 2)
        return [weight.score.numpy() for weight in masked.masked_weights]

    found = scores()
    shapes_of = {score.shape for score in found}
    assert len({score.tobytes() for score in found}) == len(found) > len(shapes_of)
    repeats = [np.array_equal(*pair) for pair in zip(found, scores(), strict=True)]
    assert repeats == [not isinstance(initializer, str)] * len(found)


def test_sparsities_belong_to_the_kernels_as_they_are_named():
    layer = layers.SupermaskSeparableConv2D(4, 3, kernels=[1, 0], sparsity=[0.9, 0.1])
    layer.build((None, 8, 8, 10))
    copy = type(layer).from_config(layer.get_config())
    copy.build((None, 8, 8, 10))
    for each in (layer, copy):
        found = {weight.name[-16:]: weight.sparsity for weight in each.masked_weights}
        assert found == {"depthwise_kernel": 0.1, "pointwise_kernel": 0.9}
