"""What is saved, copied or restored evaluates as before."""

import copy
import pickle
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.layers.kinds import (
    Bilinear,
    BuiltComposite,
    Composite,
    OwnModel,
    assert_same,
    random,
    scramble,
)
from tfsupermask import SparsityRamp, SparsitySchedule, SupermaskMetrics
from tfsupermask.conversion import convert
from tfsupermask.layers import (
    SupermaskConv2D,
    SupermaskDense,
    SupermaskDepthwiseConv2D,
    SupermaskSeparableConv2D,
    masked_weights,
    supermask,
    supermask_layers,
)
from tfsupermask.layers.methods import OF_RANKING
from tfsupermask.sparsity import allocate


def spatial(sparsity=0.5, method="edge_popup"):
    mask = {"sparsity": sparsity, "method": method}
    inner = keras.Sequential([keras.Input((4, 4, 3)), SupermaskConv2D(3, 2, **mask)])
    image = keras.Input((6, 6, 3))
    x = SupermaskDepthwiseConv2D(2, depth_multiplier=2, use_bias=True, **mask)(image)
    x = SupermaskSeparableConv2D(3, 2, use_bias=True, **mask)(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Flatten()(inner(x))
    return keras.Model(image, SupermaskDense(3, use_bias=True, **mask)(x))


def of_any_layer(sparsity=0.5, method="edge_popup"):
    mask = {"sparsity": sparsity, "method": method}
    tokens = keras.Input((6, 6, 3))
    x = keras.layers.Reshape((2, 54))(tokens)
    x = supermask(keras.layers.MultiHeadAttention(2, 2), **mask)(x, x)
    x = supermask(keras.layers.Bidirectional(keras.layers.GRU(2)), **mask)(x)
    x = supermask(Composite(rate=0.0), **mask)(x)
    return keras.Model(tokens, supermask(Bilinear(), **mask)(x))


def subclassed(sparsity=0.5, method="edge_popup", make=OwnModel):
    model = supermask(make(rate=0.0), sparsity=sparsity, method=method)
    model(np.ones((1, 5), np.float32))
    return model


@keras.saving.register_keras_serializable("tests")
class PartlyCalled(OwnModel):
    """Has layers that are not called, or in training alone."""

    def __init__(self, units=4, rate=0.5, **kwargs):
        super().__init__(units, rate, **kwargs)
        self.augment = keras.Sequential([keras.layers.GaussianNoise(0.1)])
        self.never = keras.layers.Dense(3)

    def call(self, inputs, training=False):
        return super().call(self.augment(inputs) if training else inputs)


@keras.saving.register_keras_serializable("tests")
class PartlyBuilt(PartlyCalled):
    """The same with a `build` method."""

    def __init__(self, units=4, rate=0.5, **kwargs):
        super().__init__(units, rate, **kwargs)
        self.composite = BuiltComposite(units, rate, name="composite")

    def build(self, shape):
        self.composite.build(shape)
        self.top.build((None, 2))


def partly_called(sparsity=0.5, method="edge_popup"):
    return subclassed(sparsity, method, PartlyCalled)


def partly_built(sparsity=0.5, method="edge_popup"):
    return subclassed(sparsity, method, PartlyBuilt)


MODELS = [spatial, of_any_layer, subclassed, partly_called, partly_built]


def inputs_of(model):
    shape = (5,) if isinstance(model, OwnModel) else (6, 6, 3)
    return random(6, *shape)


def compiled(model):
    model.compile(keras.optimizers.SGD(0.2, momentum=0.9), "mse", run_eagerly=True)
    return model


def fit(model, **options):
    inputs = inputs_of(model)
    targets = random(*model(inputs).shape, seed=1)
    options = {"batch_size": 3, "shuffle": False, "verbose": 0, **options}
    return model.fit(inputs, targets, **options).history


def by_file(ending):
    def copy_by(model, other, folder):
        model.save(folder / f"model.{ending}")
        return keras.models.load_model(folder / f"model.{ending}")

    return copy_by


def by_weights_file(model, other, folder):
    model.save_weights(folder / "model.weights.h5")
    other.load_weights(folder / "model.weights.h5")
    return other


def by_set_weights(model, other, folder):
    other.set_weights(model.get_weights())
    return other


def by_clone(model, other, folder):
    clone = type(model).from_config(model.get_config())
    if not isinstance(model, OwnModel):
        clone = keras.models.clone_model(model)
    clone(inputs_of(model))
    return by_set_weights(model, clone, folder)


def by_checkpoint_of_tensorflow(model, other, folder):
    path = tf.train.Checkpoint(model=model).write(str(folder / "checkpoint"))
    tf.train.Checkpoint(model=other).read(path).expect_partial()
    return other


WAYS = {
    "keras": by_file("keras"),
    "h5": by_file("h5"),
    "weights": by_weights_file,
    "set_weights": by_set_weights,
    "clone": by_clone,
    "tensorflow": by_checkpoint_of_tensorflow,
    "pickle": lambda model, other, folder: pickle.loads(pickle.dumps(model)),
    "deepcopy": lambda model, other, folder: copy.deepcopy(model),
}


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("way", WAYS)
def test_a_copy_evaluates_as_the_model(way, make, tmp_path):
    if way == "h5" and make not in (spatial, of_any_layer):
        pytest.skip("Keras stores only models that are graphs in one .h5 file.")
    model, other = make(sparsity=0.9), make(sparsity=0.5)
    scramble(model)
    allocate(model, 0.9, "global")
    kept = [weight.num_kept for weight in masked_weights(model)]
    names = [weight.name for weight in masked_weights(model)]
    assert len(set(names)) == len(names)
    twin = WAYS[way](model, other, tmp_path)
    inputs = inputs_of(model)
    np.testing.assert_array_equal(model(inputs), twin(inputs))
    assert [weight.num_kept for weight in masked_weights(twin)] == kept
    if twin is not other:
        assert [weight.name for weight in masked_weights(twin)] == names
    for layer, ours in zip(*map(supermask_layers, (model, twin)), strict=True):
        assert ours is not layer
        assert type(ours) is type(layer)
        assert ours.method is layer.method
        # A mask's own variables are not shared either.
        layer.sparsity = 0.0
        assert ours.num_kept < ours.num_weights
    for one, two in zip(*map(masked_weights, (model, twin)), strict=True):
        assert_same((one.kernel, one.score), (two.kernel, two.score))
        assert not two.kernel.trainable
    assert len(twin.trainable_weights) == len(model.trainable_weights)


@pytest.mark.parametrize(
    ("make", "method"),
    [
        (spatial, "edge_popup_by_score"),
        (of_any_layer, "signed"),
        (subclassed, "stochastic"),
        (spatial, "biprop"),
        (subclassed, "iterand"),
        (of_any_layer, "magnitude"),
        (spatial, "magnitude_straight_through"),
        (subclassed, "dense"),
        (of_any_layer, "fixed"),
    ],
)
def test_a_saved_model_has_its_method_and_trains_on_as_before(make, method, tmp_path):
    model = compiled(make(sparsity=0.7, method=method))
    scramble(model)
    fit(model)
    twin = by_file("keras")(model, None, tmp_path)
    assert {layer.method.name for layer in supermask_layers(twin)} == {method}
    np.testing.assert_array_equal(model(inputs_of(model)), twin(inputs_of(model)))
    for one in (model, twin):
        fit(one)
    for one, two in zip(model.weights, twin.weights, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", [spatial, subclassed])
def test_an_exported_model_evaluates_as_before(make, tmp_path):
    model = make()
    scramble(model)
    model.export(tmp_path / "saved", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    inputs = inputs_of(model)
    np.testing.assert_allclose(
        loaded.serve(inputs), model(inputs), rtol=1e-4, atol=1e-4
    )


def test_a_signature_of_ones_own_needs_tensorflow_alone(tmp_path):
    model = spatial()
    serve = tf.function(model.call).get_concrete_function(
        tf.TensorSpec((None, 6, 6, 3)), training=False
    )
    tf.saved_model.save(model, str(tmp_path), signatures=serve)
    assert b"Supermask" not in (tmp_path / "saved_model.pb").read_bytes()


class Interrupt(keras.callbacks.Callback):
    """Ends a training in the way a crash does."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


def schedule():
    ramp = SparsityRamp(final=0.9, initial=0.3, end_epoch=3)
    return [SupermaskMetrics(), SparsitySchedule(ramp, "global")]


@pytest.mark.parametrize("make", [spatial, subclassed])
def test_an_interrupted_training_goes_on_as_if_nothing_had_happened(make, tmp_path):
    """Its first churn included."""
    whole = compiled(make())
    start = [weight.numpy() for weight in whole.weights]
    expected = fit(whole, epochs=3, callbacks=schedule())

    def backup():
        return keras.callbacks.BackupAndRestore(tmp_path / "backup")

    first, second = compiled(make()), compiled(make(sparsity=0.9))
    first.set_weights(start)
    with pytest.raises(KeyboardInterrupt):
        fit(first, epochs=3, callbacks=[backup(), *schedule(), Interrupt()])
    found = fit(second, epochs=3, callbacks=[backup(), *schedule()])
    assert sorted(found) == ["loss", "mask_churn", "sparsity"]
    assert all(0 < churn < 1 for churn in found["mask_churn"])
    for name, values in found.items():
        np.testing.assert_allclose(values, expected[name][1:], rtol=1e-5)
    for one, two in zip(whole.weights, second.weights, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)


class Plain(keras.Model):
    """A model that finds its layers by its attributes, so that files of both fit."""

    def __init__(self, make):
        super().__init__()
        self.dense = make(5, use_bias=True)

    def call(self, inputs):
        return self.dense(inputs)


def test_refuses_a_weights_file_without_masks(tmp_path):
    plain, model = Plain(keras.layers.Dense), Plain(SupermaskDense)
    for each in (plain, model):
        each(np.ones((1, 7)))
    plain.save_weights(tmp_path / "plain.weights.h5")
    for _ in range(2):
        with pytest.raises(ValueError, match="kernel_mask"):
            model.load_weights(tmp_path / "plain.weights.h5")


@pytest.mark.parametrize(
    ("make", "make_masked"),
    [
        (lambda: Plain(keras.layers.Dense), lambda plain: Plain(SupermaskDense)),
        (OwnModel, lambda plain: convert(plain, verbose=False)),
    ],
)
def test_a_plain_model_does_not_read_the_kernels_under_masks(
    make, make_masked, tmp_path
):
    plain, inputs = make(), random(2, 5)
    plain(inputs)
    masked = make_masked(plain)
    masked(inputs)
    masked.save_weights(tmp_path / "masked.weights.h5")
    masked.load_weights(tmp_path / "masked.weights.h5")
    with pytest.raises(ValueError, match="could not be loaded"):
        plain.load_weights(tmp_path / "masked.weights.h5")


def test_refuses_weights_that_masks_by_another_method_select(tmp_path):
    model, other = subclassed(), subclassed(method="signed")
    model.save_weights(tmp_path / "model.weights.h5")
    message = "must be of its method, 'signed'.*method='edge_popup'"
    with pytest.raises(ValueError, match=message):
        other.load_weights(tmp_path / "model.weights.h5")


def test_weights_that_were_trained_are_pruned_by_another_method(tmp_path):
    dense, pruned = subclassed(method="dense"), subclassed(method="magnitude")
    dense.save_weights(tmp_path / "dense.weights.h5")
    pruned.load_weights(tmp_path / "dense.weights.h5")
    for one, other in zip(masked_weights(dense), masked_weights(pruned), strict=True):
        np.testing.assert_array_equal(one.kernel, other.kernel)


def test_refuses_a_bias_that_the_layer_does_not_have():
    store, unbuilt = {}, SupermaskDense(3)
    unbuilt.save_own_variables(store)
    unbuilt.load_own_variables(store)
    assert store == {}
    with_bias, without = (SupermaskDense(5, use_bias=bias) for bias in (True, False))
    for layer in (with_bias, without):
        layer.build((None, 7))
    with_bias.save_own_variables(store)
    assert sorted(store) == ["0", "1", "mask_method"]
    with pytest.raises(ValueError, match="expected 1 variables"):
        without.load_own_variables(store)


# Files of older versions: all that a layer has by its name, no numbers kept, and
# "ranking" in the config.
def rewrite_as_before(model, file):
    """Gives a weights file the form that it had."""
    names = ["supermask_conv2d", "supermask_separable_conv2d", "supermask_dense"]
    for name, layer in zip(names, supermask_layers(model), strict=True):
        group = file[f"layers/{name}"]
        variables = [*layer._trainable_variables, *layer._non_trainable_variables]
        for place, variable in enumerate(variables):
            group.move(f"vars/{place}", f"vars/{variable.name}")
        for place, weight in enumerate(layer.masked_weights):
            name = weight.kernel.name.replace("kernel", "score")
            group.move(f"_mask_{place}/vars/0", f"vars/{name}")
            del group[f"_mask_{place}"]


def older_model(method):
    layers = [
        keras.Input((6, 6, 3)),
        SupermaskConv2D(4, 2, sparsity=0.7, use_bias=True, method=method),
        SupermaskSeparableConv2D(3, 2, sparsity=(0.2, 0.8), method=method),
        keras.layers.Flatten(),
        SupermaskDense(3, sparsity=0.4, use_bias=True, method=method),
    ]
    return compiled(keras.Sequential(layers))


def write_as_before(model, folder, ranking):
    """Saves a model as older versions did, as a whole and its weights alone."""
    model.save(folder / "new.keras")
    with zipfile.ZipFile(folder / "new.keras") as new:
        new.extractall(folder)
    with h5py.File(folder / "model.weights.h5", "a") as file:
        rewrite_as_before(model, file)
    config = (folder / "config.json").read_text()
    old = config.replace(f'"method": "{model.layers[0].method.name}"', ranking)
    assert old.count(ranking) == 3
    (folder / "config.json").write_text(old)
    with zipfile.ZipFile(folder / "old.keras", "w") as file:
        for name in ("config.json", "metadata.json", "model.weights.h5"):
            file.write(folder / name, name)


@pytest.mark.parametrize("method", ["magnitude", "fixed"])
@pytest.mark.parametrize("way", WAYS)
def test_a_copy_trains_its_kernels_too(way, method, tmp_path):
    model, other = (of_any_layer(0.7, each) for each in (method, method))
    scramble(model)
    twin = WAYS[way](model, other, tmp_path)
    np.testing.assert_array_equal(model(inputs_of(model)), twin(inputs_of(model)))
    for one, two in zip(*map(masked_weights, (model, twin)), strict=True):
        assert two.kernel.trainable
        assert two.trained is two.kernel
        assert (two.kernel.constraint is None) == (method == "magnitude")
        assert_same((one.kernel, one.mask), (two.kernel, two.mask))
    names = [v.name for v in model.trainable_weights]
    assert [v.name for v in twin.trainable_weights] == names
    assert "score" not in names


@pytest.mark.parametrize("ranking", ["score", "stochastic"])
def test_older_files_load(ranking, tmp_path):
    name = OF_RANKING.get(ranking, ranking)
    model = older_model(name)
    fit(model)
    write_as_before(model, tmp_path, f'"ranking": "{ranking}"')
    loaded = keras.models.load_model(tmp_path / "old.keras")
    other = older_model(name)
    other.load_weights(tmp_path / "model.weights.h5")
    method = {model.layers[0].method}
    for twin in (loaded, other):
        assert {layer.method for layer in supermask_layers(twin)} == method
        assert_same(model.weights, twin.weights)
    for one in (model, loaded):
        fit(one)
    assert_same(model.weights, loaded.weights)
