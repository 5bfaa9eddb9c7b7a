"""Every kind of model comes through conversion and folding with its outputs."""

import functools
import warnings
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as kl

from tfsupermask._validation import InputError
from tfsupermask.conversion import convert, fix_masks, fold
from tfsupermask.layers import (
    SupermaskDense,
    SupermaskMixin,
    masked_weights,
    plain_class,
)
from tfsupermask.layers.kernels import MaskVariables
from tfsupermask.layers.walking import leaves

from .conftest import assert_same, built, random

X, STEPS = random(3, 8), random(2, 5, 8)


def functional(layers, shape=(8,), **options):
    inputs = keras.Input(shape)
    return keras.Model(inputs, layers(inputs), **options)


class Branches(keras.Model):
    """Layers in every place where they may be, and a weight of its own."""

    def __init__(self, units=3):
        super().__init__()
        self.first = kl.Dense(units, name="first")
        self.many = [kl.Dense(4), kl.Dense(5)]
        self.by_name = {"x": kl.Dense(2), "deep": [kl.Dense(3)]}
        self.pair = (kl.Dense(2), kl.BatchNormalization())
        self.inner = keras.Sequential([kl.Dense(7), kl.ReLU()])
        self.never_used = kl.Conv2D(2, 3)

    def build(self, shape):
        self.extra = self.add_weight(shape=(2,), initializer="ones", name="extra")
        super().build(shape)

    def call(self, inputs, training=None):
        x = self.inner(self.first(inputs))
        for layer in self.many:
            x = layer(x)
        x = self.by_name["deep"][0](self.by_name["x"](x))
        return self.pair[1](self.pair[0](x), training=training) + self.extra


def subclassed_in_a_graph():
    return functional(lambda x: kl.Dense(3)(Branches()(kl.Dense(8)(x))))


class TwoArguments(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = kl.Dense(2)

    def call(self, inputs, other=None):
        return self.dense(inputs) + self.dense(other)


class Rows(kl.Layer):
    """Takes integers, so that Keras cannot build what is in it by itself."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = kl.Dense(4)

    def call(self, inputs):
        return self.inner(tf.one_hot(inputs, 5))


class OfIndices(keras.Model):
    def __init__(self):
        super().__init__()
        self.rows, self.dense = Rows(), kl.Dense(2)

    def call(self, inputs):
        return self.dense(self.rows(inputs))


class InTrainingAlone(keras.Model):
    def __init__(self):
        super().__init__()
        self.augment, self.dense = keras.Sequential([kl.GaussianNoise(1)]), kl.Dense(2)

    def call(self, inputs, training=False):
        return self.dense(self.augment(inputs) if training else inputs)


class OwnArguments(keras.Model):
    """Uses its arguments in its call and in `build`, and does not mirror them."""

    def __init__(self, steps=1, units=3, scale=None, activation="relu", sizes=(2,)):
        super().__init__()
        self.steps, self.units, self._scale, self.sizes = steps, units, scale, sizes
        self.options = {"shift": [0.0 if scale is None else scale]}
        self.activation = keras.activations.get(activation)
        self.dense, self.own = kl.Dense(8), lambda inputs: inputs + self.units

    def build(self, shape):
        self.top = kl.Dense(self.units, name="top")
        self.dense.build(shape)
        self.top.build(shape)

    def call(self, inputs):
        for _ in range(self.steps):
            inputs = self.activation(self.dense(inputs)) * (self._scale or 1.0)
        x = self.top(self.own(inputs))[:, : sum(self.sizes)]
        return x + self.options["shift"][0]


class LateLayers(keras.Model):
    def build(self, shape):
        self.dense = kl.Dense(2, name="late")
        self.dense.build(shape)

    def call(self, inputs):
        return self.dense(inputs)


class InASet(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = kl.Dense(2)
        self.also = {self.dense}
        self.apply = functools.partial(self.dense.__call__)

    def call(self, inputs):
        return next(iter(self.also))(inputs) + self.apply(inputs)


class GraphWithArgument(keras.Model):
    def __init__(self, width=4):
        inputs = keras.Input((8,))
        super().__init__(inputs, kl.Dense(2)(kl.Dense(width)(inputs)))


class GraphWithTrainStep(keras.Model):
    def train_step(self, data):
        return {"loss": 0.0}


def graph_with_train_step():
    inputs = keras.Input((8,))
    return GraphWithTrainStep(inputs, kl.Dense(2)(inputs))


class OwnActivation(kl.Layer):
    """Has an attribute called `activation`, and no such argument."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense, self.activation = kl.Dense(4), keras.activations.relu

    def call(self, inputs):
        return self.activation(self.dense(inputs))


class ForgetfulActivation(OwnActivation):
    """Takes it, and does not say so in its config."""

    def __init__(self, activation=keras.activations.relu, **kwargs):
        super().__init__(**kwargs)
        self.activation = activation

    def get_config(self):
        return super().get_config()


def attributes_called_activation(inputs):
    x = ForgetfulActivation(keras.activations.silu)(OwnActivation()(inputs))
    return kl.Dense(2)(x)


def shared_layers():
    shared, again = kl.Dense(8, name="shared"), kl.Dense(8, name="again")
    inner = functional(lambda x: again(again(shared(x))), name="inner")
    return functional(lambda x: kl.Dense(2)(shared(inner(inner(shared(x))))))


def deep():
    inner = keras.Sequential([keras.Input((8,)), kl.Dense(8), kl.Dense(6)])
    middle = functional(lambda x: kl.Dense(5)(inner(x)))
    return keras.Sequential([keras.Input((8,)), kl.Dense(8), middle, kl.Dense(2)])


def dicts_of_tensors():
    a, b = keras.Input((8,), name="a"), keras.Input((8,), name="b")
    shared = kl.Dense(4)
    first, second = shared(a), shared(b)
    outputs = {"sum": kl.Add()([first, second]), "list": [kl.Dense(2)(first), second]}
    return keras.Model({"a": a, "b": b}, outputs)


class OfArrays(keras.Model):
    """Has arrays as arguments, which it does not mirror."""

    def __init__(self, mean=0.0, std=1.0):
        super().__init__()
        self.mean, self.std, self.dense = mean, std, kl.Dense(2)

    def call(self, inputs):
        return self.dense((inputs - self.mean) / self.std)


class DerivedInBuild(kl.Layer):
    """What `build` derives is derived again, not copied before."""

    def __init__(self, units=None, **kwargs):
        super().__init__(**kwargs)
        self.units, self.ready, self.scales, self.last = units, False, [], 0.0

    def build(self, shape):
        self.units = self.units or shape[-1]
        if not self.ready:
            self.kernel = self.add_weight(shape=(shape[-1], self.units), name="kernel")
            self.ready = True
        self.scales.append(2.0)

    def call(self, inputs):
        self.last = keras.ops.mean(inputs)
        return inputs @ self.kernel * sum(self.scales)


class FlagInBuild(keras.Model):
    def __init__(self, units=3):
        super().__init__()
        self.units, self.made = units, False
        self.uneven = [[1], [units, 3]]

    def build(self, shape):
        if not self.made:
            self.dense, self.made = kl.Dense(self.units, name="late"), True
            self.dense.build(shape)

    def call(self, inputs):
        return self.dense(inputs)


class Outer(kl.Layer):
    """Its first layer makes one in `build`, before the second."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first, self.last = LateLayers(), kl.Dense(2, dtype="float16", name="last")

    def call(self, inputs):
        return self.last(self.first(inputs))


class OwnWeight(keras.Model):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.alpha = self.add_weight(shape=(2,), name="alpha")


def own_weight():
    inputs = keras.Input((8,))
    return OwnWeight(inputs, kl.Dense(2)(inputs))


class Tempered(kl.Layer):
    def __init__(self, temperature=1.0, **kwargs):
        super().__init__(**kwargs)
        self.temperature = temperature

    def call(self, inputs):
        return inputs / self.temperature


class Table(kl.Layer):
    """Has an attribute with a name of the masks', and one of another shape later."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.score, self.table = 1.0, np.ones(1)

    def call(self, inputs):
        return inputs * self.score * self.table.sum()


class Around(kl.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inside = Tempered()

    def call(self, inputs):
        return self.inside(inputs)


def changed_later():
    layers = [Tempered(), Around(), Table(), DerivedInBuild(4), kl.Dense(2)]
    layers[3].units = 6
    model = keras.Sequential([keras.Input((8,)), *layers])
    layers[0].temperature, layers[1].inside.temperature = 5.0, 0.5
    layers[2].score, layers[2].table = 2.0, np.ones(5)
    return model


def dropout_switched_off():
    model = keras.Sequential([keras.Input((8,)), kl.Dense(4), kl.Dropout(0.5)])
    model.layers[1].rate = 0.0
    return model


class Block(kl.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.one, self.two = kl.Dense(4, activation="relu"), kl.Dense(2)

    def call(self, inputs):
        return self.two(self.one(inputs))


def half_precision_inside():
    inputs, before = keras.Input((8,)), keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        outputs = Block()(inputs)
    finally:
        keras.config.set_dtype_policy(before)
    return keras.Model(inputs, outputs)


def lambda_of_globals():
    layers = [kl.Dense(4), kl.Lambda(lambda x: np.pi * tf.abs(x)), kl.Dense(2)]
    return keras.Sequential([keras.Input((8,)), *layers])


class Difference(kl.Layer):
    def call(self, inputs, training=None):
        return inputs["a"] - inputs["b"]


def sequential_of_a_dict():
    return keras.Sequential(
        [Difference(), kl.Dense(4), keras.Sequential([kl.Dense(3)])]
    )


def sequential_of_a_dict_in_a_graph():
    inputs = {"a": keras.Input((8,), name="a"), "b": keras.Input((8,), name="b")}
    model = keras.Model(inputs, kl.Dense(2)(sequential_of_a_dict()(inputs)))
    model({"a": X, "b": X})  # before, Keras has not built the layers in the middle
    return model


class OfUnknownShape(Rows):
    """Keras cannot say its output's shape."""

    def call(self, inputs):
        return self.inner(inputs)


def sequential_of_unknown_shapes():
    return keras.Sequential([kl.TimeDistributed(OfUnknownShape()), kl.Dense(2)])


class AddIfThere(kl.Layer):
    def call(self, inputs, other=None):
        return inputs if other is None else inputs + other

    def compute_output_shape(self, inputs_shape, other_shape=None):
        return inputs_shape


def optional_input():
    a = keras.Input((8,), name="a")
    b = keras.Input((8,), name="b", optional=True)
    return keras.Model({"a": a, "b": b}, kl.Dense(2)(AddIfThere()(a, b)))


def functions_and_operations(inputs, factor=3.0):
    x = kl.Lambda(lambda value: factor * value)(inputs)
    x = kl.Dense(5, activation=tf.nn.relu)(x)
    x = kl.Dense(5, activation=lambda value: 2 * value)(x)
    x = kl.Dense(4, activation=kl.PReLU(keras.initializers.Constant(0.3)))(x)
    x = keras.ops.relu(x)[:, 1:] + 1.0
    x = keras.ops.concatenate([x, x * 2])
    return kl.Dense(2)(x)


def preprocessing():
    normalise = kl.Normalization()
    normalise.adapt(3 * X + 1)
    scale, drop = kl.Rescaling(0.5, offset=1), kl.Dropout(0.5)
    return functional(lambda x: kl.Dense(2)(drop(scale(normalise(x)))))


def vocabulary():
    inputs = keras.Input((1,), dtype="string")
    lookup = kl.StringLookup(output_mode="one_hot")
    lookup.adapt(np.array(["a", "b", "c"]))
    return keras.Model(inputs, kl.Dense(2)(lookup(inputs)))


def half_precision(inputs):
    x = kl.Conv1D(4, 3, dtype="mixed_float16", activation="relu")(inputs)
    x = kl.Dense(3, dtype="mixed_bfloat16")(x)
    x = kl.Dense(3, dtype="bfloat16")(x)
    return kl.Dense(2, dtype="float32")(x)


MODELS = {
    "subclassed": (lambda: Branches(4), X),
    "subclassed_in_a_graph": (subclassed_in_a_graph, X),
    "two_arguments": (TwoArguments, X, 2 * X),
    "in_a_set": (InASet, X),
    "in_training_alone": (InTrainingAlone, X),
    "steps": (lambda: OwnArguments(2), X),
    "all_arguments": (lambda: OwnArguments(3, 6, 0.5, "tanh", [1, 4]), X),
    "late_layers": (LateLayers, X),
    "of_indices": (OfIndices, np.array([0, 3])),
    "deferred": (lambda: keras.Sequential([kl.Dense(4), kl.Dense(2)]), X),
    "sequential_of_a_list": (
        lambda: keras.Sequential([kl.Concatenate(), kl.Dense(4), kl.Dense(2)]),
        [X, 2 * X],
    ),
    "sequential_of_a_dict": (sequential_of_a_dict, {"a": X, "b": X**2}),
    "sequential_of_a_dict_in_a_graph": (
        sequential_of_a_dict_in_a_graph,
        {"a": X, "b": X**2},
    ),
    "sequential_of_unknown_shapes": (sequential_of_unknown_shapes, STEPS),
    "graph_with_argument": (GraphWithArgument, X),
    "graph_with_train_step": (graph_with_train_step, X),
    "shared_layers": (shared_layers, X),
    "deep": (deep, X),
    "dicts_of_tensors": (dicts_of_tensors, {"a": X, "b": 2 * X}),
    "optional_input": (optional_input, {"a": X, "b": None}),
    "functions_and_operations": (lambda: functional(functions_and_operations), X),
    "attributes_called_activation": (
        lambda: functional(attributes_called_activation),
        X,
    ),
    "preprocessing": (preprocessing, X),
    "vocabulary": (vocabulary, tf.constant([["a"], ["c"], ["?"]])),
    "half_precision": (lambda: functional(half_precision, (5, 8)), STEPS),
    "half_precision_inside": (half_precision_inside, X),
    "lambda_of_globals": (lambda_of_globals, X),
    "lambda_of_globals_in_a_graph": (
        lambda: functional(lambda x: kl.Dense(2)(kl.Lambda(lambda y: tf.abs(y))(x))),
        X,
    ),
    "arguments_that_are_arrays": (
        lambda: OfArrays(random(8), tf.constant(random(8, seed=1))),
        X,
    ),
    "changed_later": (changed_later, X),
    "derived_in_build": (
        lambda: functional(lambda x: kl.Dense(2)(DerivedInBuild()(x))),
        X,
    ),
    "flag_in_build": (lambda: FlagInBuild(5), X),
    "layers_made_late_inside": (lambda: functional(lambda x: Outer()(x)), X),
    "weight_of_a_graph": (own_weight, X),
    "dropout_switched_off": (dropout_switched_off, X),
}


def randomize(model):
    for index, weight in enumerate(model.trainable_weights):
        weight.assign(random(*weight.shape, seed=100 + index))
    return model


def made(kind):
    """Returns a built model with random weights, and what it takes."""
    make, *inputs = MODELS[kind]
    model = make()
    if not model.built:
        model(*inputs)
    return randomize(model), inputs


def outputs_of(model, inputs):
    return keras.tree.map_structure(np.asarray, model(*inputs))


def everything_in(layer):
    yield layer
    for inner in layer.layers if hasattr(layer, "layers") else layer._layers:
        yield from everything_in(inner)


def structure(model):
    """Names and dtypes of a model's layers, with those of nested models."""
    return [
        (
            layer.name,
            layer.dtype_policy.name,
            structure(layer) if isinstance(layer, keras.Model) else [],
        )
        for layer in model.layers
        if not isinstance(layer, MaskVariables)
    ]


@pytest.mark.filterwarnings("ignore:.*lambda:UserWarning")
@pytest.mark.parametrize("kind", MODELS)
def test_outputs_and_structure_survive(kind):
    model, inputs = made(kind)
    whole = convert(model, 0.0, verbose=False)
    expected = outputs_of(model, inputs)
    assert_same(outputs_of(whole, inputs), expected)
    half = convert(model, 0.5, verbose=False)
    folded = fold(half)
    masked = outputs_of(half, inputs)
    assert_same(outputs_of(folded, inputs), masked)
    pairs = zip(keras.tree.flatten(expected), keras.tree.flatten(masked), strict=True)
    assert any(np.any(one != other) for one, other in pairs)

    assert structure(whole) == structure(half) == structure(folded) == structure(model)
    assert half.name == folded.name == model.name
    for copied in (half, folded):
        mine = {id(variable) for variable in model.variables}
        assert not mine & {id(variable) for variable in copied.variables}
    kernels = {id(weight.kernel) for weight in masked_weights(half)}
    for layer in everything_in(half):
        if isinstance(layer, kl.Dense) and layer.built:
            assert id(layer.kernel) in kernels
    for layer in everything_in(folded):
        assert not isinstance(layer, SupermaskMixin)


@pytest.mark.filterwarnings("ignore:.*lambda:UserWarning")
@pytest.mark.parametrize("kind", MODELS)
def test_a_masked_model_is_copied_with_its_masks(kind):
    model, inputs = made(kind)
    options = {"kernels": lambda _, weight: "kernel" in weight.name, "verbose": False}
    model = convert(model, 0.5, method="signed", **options)
    with pytest.warns(UserWarning, match="masked already"):
        again = convert(model, 0.1, verbose=False)
    assert_same(outputs_of(again, inputs), outputs_of(model, inputs))
    assert structure(again) == structure(model)
    pairs = list(zip(*map(masked_weights, (model, again)), strict=True))
    for one, two in pairs:
        assert two.kernel is not one.kernel
        assert two.method is one.method
        assert_same((one.kernel.numpy(), one.mask), (two.kernel.numpy(), two.mask))
    assert pairs


def test_names_of_inner_layers_and_weights_of_graphs_are_kept():
    model, _ = made("layers_made_late_inside")
    assert convert(model, 0.0, verbose=False).layers[1].last.name == "last"
    model, _ = made("weight_of_a_graph")
    np.testing.assert_array_equal(convert(model, verbose=False).alpha, model.alpha)


def test_a_model_class_of_ones_own_is_kept_where_it_can_be():
    assert type(convert(graph_with_train_step(), verbose=False)) is GraphWithTrainStep
    assert plain_class(convert(built(Branches, X), verbose=False)) is Branches
    assert type(fold(convert(built(Branches, X), verbose=False))) is Branches
    # The constructor makes layers of its own, so that only a plain graph will do.
    with warnings.catch_warnings(action="error"):
        plain = convert(GraphWithArgument(), verbose=False)
    assert type(plain).__name__ == "Functional"


class TrainsByItself(GraphWithArgument):
    def train_step(self, data):
        return {"loss": 0.0}


class OwnLoss(keras.Sequential):
    def compute_loss(self, *args, **kwargs):
        return 0.0


LOST = (
    lambda: OwnLoss([keras.Input((8,)), SupermaskDense(2)]),
    "Sequential without the compute_loss of OwnLoss",
)


@pytest.mark.parametrize(
    ("copy", "make", "lost"),
    [
        (
            convert,
            TrainsByItself,
            "Functional without the train_step of TrainsByItself",
        ),
        (convert, *LOST),
        (fix_masks, *LOST),
    ],
)
def test_a_training_that_a_copy_does_not_have_is_said(copy, make, lost):
    with pytest.warns(UserWarning, match=f"The copy is a {lost}: only classes"):
        copy(make())


def test_arguments_that_the_config_lacks_are_not_lost_in_a_file(tmp_path):
    path = tmp_path / "model.keras"
    convert(built(OwnArguments, X), verbose=False).save(path)
    with pytest.raises(InputError, match="if `get_config` mirrors its constructor"):
        convert(built(lambda: OwnArguments(2), X), verbose=False).save(path)


class Sizes(NamedTuple):
    one: int
    two: int


class Counting(OwnArguments):
    def __init__(self, steps=1):
        super().__init__(steps, sizes=Sizes(1, 2))
        self.seen = 0


def test_what_was_counted_and_records_are_copied_and_can_be_saved(tmp_path):
    model = built(Counting, X)
    model.seen, model.sizes = 3, Sizes(2, 1)
    converted = convert(model, verbose=False)
    assert (converted.seen, converted.sizes) == (3, Sizes(2, 1))
    assert type(converted.sizes) is Sizes
    converted.save(tmp_path / "m.keras")


def test_weights_that_are_in_no_layer_and_operations_without_config_are_refused():
    inputs = keras.Input((8,))
    model = keras.Model(inputs, kl.Dense(2)(inputs), name="graph")
    model.extra = model.add_weight(shape=(2,), name="extra")
    with pytest.raises(InputError, match=r"'graph' must be in its layers.*\['extra'\]"):
        convert(model, verbose=False)
    parts = keras.ops.split(inputs, np.array([1, 3]), axis=1)
    model = keras.Model(inputs, kl.Dense(2)(parts[0]))
    with pytest.raises(InputError, match=r"have a config.*operation_class='Split'"):
        convert(model, verbose=False)


class WithVariable(kl.Layer):
    """Has a variable of TensorFlow's, which Keras does not know."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense, self.scale = kl.Dense(2), tf.Variable(1.0)
        self.shifts = {"all": [tf.Variable(0.0)]}

    def call(self, inputs):
        return self.scale * self.dense(inputs) + self.shifts["all"][0]


def test_variables_of_tensorflow_are_copied():
    layer = WithVariable()
    model = keras.Sequential([keras.Input((8,)), layer])
    layer.scale.assign(3.0)
    layer.shifts["all"][0].assign(2.0)
    masked = convert(model, 0.0, verbose=False)
    for each in (masked, fold(masked)):
        np.testing.assert_array_equal(each(X), model(X))
        assert each.layers[0].scale is not layer.scale


def test_shared_layers_stay_shared_and_are_listed_once():
    converted = convert(shared_layers(), verbose=False)
    for model in (converted, fold(converted)):
        inner = model.get_layer("inner")
        assert model.get_layer("shared") is inner.get_layer("shared")
    names = [layer.name for layer in leaves(converted)]
    assert sorted(names) == sorted(set(names))
    assert len(converted.trainable_weights) == 2 * 3


def test_layers_never_used_are_left_alone():
    model = built(Branches, X)
    converted = convert(model, initializer="kaiming_normal", verbose=False)
    assert type(converted.never_used) is kl.Conv2D
    assert not converted.never_used.built
    assert len(masked_weights(converted)) == 7
    with pytest.raises(InputError, match="must match the name of a layer"):
        convert(model, {"conv*": 0.5})


def test_a_folded_subclassed_model_has_the_weights_file_of_the_plain_one(tmp_path):
    folded, plain = fold(convert(built(Branches, X), verbose=False)), built(Branches, X)
    folded.save_weights(tmp_path / "folded.weights.h5")
    plain.load_weights(tmp_path / "folded.weights.h5")
    np.testing.assert_array_equal(plain(X), folded(X))


def test_weights_of_an_activation_and_random_seeds_are_copied():
    activation = kl.PReLU()
    layers = [kl.Dense(4, activation=activation, name="dense"), kl.Dropout(0.5)]
    model = keras.Sequential([keras.Input((8,)), *layers])
    model(X, training=True)
    activation.alpha.assign([1.0, 2.0, 3.0, 4.0])
    converted = convert(model, 0.0, verbose=False)
    np.testing.assert_array_equal(converted(X), model(X))
    np.testing.assert_array_equal(fold(converted)(X), model(X))
    np.testing.assert_array_equal(converted(X, training=True), model(X, training=True))


def test_frozen_parts_stay_frozen():
    inner = keras.Sequential([keras.Input((8,)), kl.Dense(4), kl.Dense(4)])
    inner.trainable = False
    inner.layers[1].trainable = True
    model = functional(lambda x: kl.Dense(2)(inner(x, training=False)))
    converted = convert(model, verbose=False)
    copied = converted.layers[1]
    assert not copied.trainable
    assert [layer.trainable for layer in copied.layers] == [False, True]
    assert copied.trainable_weights == []
    assert len(converted.trainable_weights) == len(model.trainable_weights) == 4
    copied.trainable = True
    assert len(converted.trainable_weights) == 6


@pytest.mark.filterwarnings("ignore:.* masked weights are not trained:UserWarning")
def test_weights_that_were_frozen_by_themselves_stay_so():
    model = functional(lambda x: kl.Dense(2)(kl.LSTM(4)(kl.Reshape((2, 4))(x))))
    top, cell = model.layers[-1], model.layers[-2].cell
    top.bias.trainable = cell.recurrent_kernel.trainable = False
    masked = convert(model, method="magnitude", verbose=False)
    names = [variable.name for variable in masked.trainable_variables]
    assert names == ["kernel", "bias", "kernel"]
    plain = fold(convert(model, verbose=False))
    names = [variable.name for variable in plain.trainable_variables]
    assert names == ["kernel", "recurrent_kernel", "bias", "kernel"]


def test_masks_inside_a_wrapper_are_kept_and_folded():
    inside = SupermaskDense(4, name="inside")
    around = kl.TimeDistributed(inside, name="around")
    model = randomize(functional(lambda x: kl.Dense(2)(around(x)), (5, 8)))
    converted = convert(model, 0.5, verbose=False)
    copied = converted.get_layer("around").layer
    assert copied is not inside
    np.testing.assert_array_equal(copied.score, inside.score)
    folded = fold(converted)
    assert type(folded.get_layer("around").layer) is kl.Dense
    assert "tfsupermask" not in folded.to_json()
    np.testing.assert_array_equal(folded(STEPS), converted(STEPS))


def test_a_layer_shared_with_a_wrapper_is_refused_not_doubled():
    dense = kl.Dense(8, name="both")
    model = functional(lambda x: kl.TimeDistributed(dense)(dense(x)), (5, 8))
    with pytest.raises(InputError, match=r"must not be shared.*layer='both'"):
        convert(model)


class Unconfigured(kl.Layer):
    def __init__(self, table):
        super().__init__()
        self.table = table

    def call(self, inputs):
        return inputs + self.table.sum()


class OwnCall(GraphWithArgument):
    def call(self, inputs, training=None, mask=None):
        return -super().call(inputs)


class OwnSequentialCall(keras.Sequential):
    def __init__(self):
        super().__init__([kl.Dense(2)])

    def call(self, inputs, training=None, mask=None):
        return -super().call(inputs)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: functional(lambda x: Unconfigured(random(3))(kl.Dense(3)(x))), "Unc"),
        (OwnSequentialCall, "OwnSequentialCall"),
        (OwnCall, "OwnCall"),
    ],
)
def test_refuses_what_cannot_be_copied_with_its_name(make, name):
    with pytest.raises(InputError, match=rf"config to be copied.*layer_class='{name}"):
        convert(built(make, X), verbose=False)


class HoldsItsLayer(kl.Layer):
    """Its config holds the layer inside itself."""

    def __init__(self, block, **kwargs):
        super().__init__(**kwargs)
        self.block = block

    def call(self, inputs):
        return self.block(inputs)

    def compute_output_shape(self, shape):
        return (*shape[:-1], 2)

    def get_config(self):
        return {**super().get_config(), "block": self.block}


class HoldsItsWeight(kl.Layer):
    def __init__(self, weight, **kwargs):
        super().__init__(**kwargs)
        self.weight = weight

    def call(self, inputs):
        return inputs @ self.weight

    def get_config(self):
        return {**super().get_config(), "weight": self.weight}


def holds_its_weight():
    return HoldsItsWeight(keras.Variable(random(8, 2), name="held"))


@pytest.mark.parametrize(
    "make",
    [
        lambda: HoldsItsLayer(kl.Dense(2, name="held")),
        lambda: HoldsItsLayer(SupermaskDense(2, name="held")),
        lambda: HoldsItsLayer(keras.Sequential([kl.Dense(2)], name="held")),
        holds_its_weight,
    ],
)
@pytest.mark.parametrize("copy", [fold, functools.partial(convert, verbose=False)])
def test_what_a_config_holds_is_refused_not_shared(make, copy):
    model = functional(lambda x: make()(kl.Dense(8)(x)), (5, 8))
    before = [(v, v.trainable, v.numpy()) for v in model.variables]
    with pytest.raises(InputError, match=r"not hold them, to be copied.*held=\['held'"):
        copy(model)
    for variable, trainable, values in before:
        assert variable.trainable is trainable
        np.testing.assert_array_equal(variable, values)
    assert len(before) == len(model.variables)


def test_leaves_are_in_layer_order():
    model = deep()
    first, middle, last = model.layers
    inner = middle.layers[1]
    expected = [first, middle.layers[0], *inner.layers, middle.layers[2], last]
    assert [*map(id, leaves(model))] == [*map(id, expected)]
