import contextlib
import hashlib
import os
import pathlib
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.tickets import layout
from tfsupermask import init, layers, models
from tfsupermask._validation import InputError
from tfsupermask.init.baselines import remember_draws
from tfsupermask.layers import masked_weights
from tfsupermask.tickets import load_ticket, read_ticket_header, save_ticket


def scramble(model, seed=0):
    """Gives every variable other values, so that nothing is what it started as."""
    rng = np.random.default_rng(seed)
    for weight in (w for w in model.weights if w.name != "num_kept"):
        values = rng.normal(size=weight.shape) ** 2 + 0.1
        weight.assign(values.astype(weight.dtype))
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()


def kinds(path):
    return [part["kind"] for part in read_ticket_header(path)["parts"]]


@contextlib.contextmanager
def kept(path, message, error=InputError):
    """Checks that its body is refused and that the old file stays, alone."""
    before = path.read_bytes()
    with pytest.raises(error, match=message):
        yield
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def assert_same_masks(model, other, what=("mask", "num_kept")):
    for one, two in zip(masked_weights(model), masked_weights(other), strict=True):
        for attribute in what:
            np.testing.assert_array_equal(
                getattr(one, attribute), getattr(two, attribute), attribute
            )


def dense(inputs, outputs, **arguments):
    layer = layers.SupermaskDense(outputs, **arguments)
    return keras.Sequential([keras.Input((inputs,)), layer])


def branched():
    """A nested model, a layer called twice, and all kinds of supermask kernels."""
    inner_input = x = keras.Input((8, 8, 4))
    x = layers.SupermaskDepthwiseConv2D(3, sparsity=0.25, padding="same")(x)
    x = keras.layers.BatchNormalization()(x)
    inner = keras.Model(inner_input, keras.layers.ReLU(6.0)(x), name="inner")

    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Normalization(name="norm")(inputs)
    x = layers.SupermaskConv2D(4, 3, padding="same", use_bias=True)(x)
    mask = {"sparsity": (0.1, 0.6), "method": "edge_popup_by_score"}
    twice = layers.SupermaskSeparableConv2D(
        4, 3, padding="same", activation="gelu", **mask
    )
    x = keras.layers.Add()([inner(twice(x)), twice(twice(x))]) * 0.5
    x = keras.layers.Conv2D(2, 1, kernel_constraint="non_neg")(x)
    x = layers.SupermaskConv2DTranspose(3, 2, strides=2)(x)
    y = keras.layers.Dropout(0.5, seed=3)(keras.layers.Flatten()(x))
    y = layers.SupermaskDense(3, sparsity=0.9, activation=keras.layers.LeakyReLU())(y)
    z = layers.SupermaskConv1D(2, 3, padding="causal")(keras.layers.Reshape((-1, 3))(x))
    return keras.Model(inputs, {"y": y, "z": z})


def spatial():
    """A Sequential model in another Sequential model."""
    conv = layers.SupermaskConv3D(3, 3, kernel_regularizer="l2")
    body = [keras.Input((4, 4, 4, 2)), conv, keras.layers.Flatten()]
    return keras.Sequential([keras.Sequential(body), layers.SupermaskDense(2)])


def resnet18():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models.resnet, "_FILTERS", (4, 4, 4, 4))
        return models.build("resnet18", (8, 8, 3), sparsity=0.3)


def conv2(**arguments):
    return models.build("conv2", (8, 8, 3), **arguments)


@pytest.mark.parametrize("make", [resnet18, branched, spatial])
def test_a_loaded_model_is_the_same(make, tmp_path):
    model = make()
    scramble(model)
    inputs = np.random.default_rng(1).normal(size=(3, *model.input_shape[1:]))
    inputs = inputs.astype(np.float32)
    loaded = load_ticket(save_ticket(model, tmp_path / "a.ticket")).model

    assert_same_masks(model, loaded, ["mask", "num_kept", "sparsity"])
    for run in (lambda each: each, tf.function):
        tf.nest.map_structure(
            np.testing.assert_array_equal, run(loaded)(inputs), run(model)(inputs)
        )
    weights = masked_weights(model)
    own = {id(each) for weight in weights for each in (weight.kernel, weight.score)}
    for weight, other in zip(model.weights, loaded.weights, strict=True):
        assert (weight.trainable, weight.dtype) == (other.trainable, other.dtype)
        if id(weight) not in own:
            np.testing.assert_array_equal(weight, other)
    for weight, other in zip(weights, masked_weights(loaded), strict=True):
        np.testing.assert_array_equal(weight.masked(), other.kernel)


def test_a_layer_that_was_renamed_comes_back_by_its_new_name(tmp_path):
    model = dense(3, 2)
    model.layers[0].name = "new"
    loaded = load_ticket(save_ticket(model, tmp_path / "a.ticket")).model
    assert loaded.layers[0].name == "new"
    np.testing.assert_array_equal(loaded(np.ones((2, 3))), model(np.ones((2, 3))))


def test_the_same_model_gives_the_same_bytes(tmp_path):
    first, second, third = (tmp_path / f"{name}.ticket" for name in "abc")
    recipe = {"b": [1, 2], "a": None}
    keras.utils.set_random_seed(0)
    model = branched()
    save_ticket(model, first, recipe=recipe)
    save_ticket(load_ticket(first).model, second, recipe=dict(reversed(recipe.items())))
    assert first.read_bytes() == second.read_bytes()

    model.compile("sgd", {"y": "mse", "z": "mse"})
    save_ticket(model, third, recipe=recipe)
    assert first.read_bytes() == third.read_bytes()


@pytest.mark.parametrize("name", [None, "signed_constant"])
def test_drawn_kernels_take_no_space(name, tmp_path):
    model = conv2(seed=3)
    weights = masked_weights(model)
    if name:
        init.initialize(model, name, seed=5)
        initializer = weights[0].layer.kernel_initializer
        assert isinstance(initializer, layers.SignedConstant)
    path = save_ticket(model, tmp_path / "a.ticket")
    assert path.stat().st_size < 52_000
    assert kinds(path) == ["architecture"] + ["mask", "drawn"] * len(weights)
    assert_same_masks(model, load_ticket(path).model, ["kernel", "mask"])

    values = np.array(weights[0].kernel)
    values[0, 0, 0, 0] = np.nextafter(values[0, 0, 0, 0], 1)
    weights[0].kernel.assign(values)
    model.layers[2].kernel_initializer = keras.initializers.Zeros()  # has no seed
    save_ticket(model, path)
    assert kinds(path)[:7] == ["architecture", *["mask", "kept"] * 2, "mask", "drawn"]
    assert_same_masks(model, load_ticket(path).model)


@pytest.mark.parametrize(
    "name", ["glorot_normal", "kaiming_uniform", "signed_constant"]
)
def test_kernels_of_a_seed_and_a_factor_take_no_space(name, tmp_path):
    """Also in a model that its program rebuilt, and gave the values of the old one."""
    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(64, 8, 8, 3)), np.arange(64) % 4
    model, again = conv2(seed=3), conv2(seed=3)
    init.initialize(model, name, seed=3)
    factors = init.unit_power(model, images, labels)
    assert all(abs(factor - 1) > 1e-3 for factor in factors.values())
    for weight, other in zip(masked_weights(model), masked_weights(again), strict=True):
        other.kernel.assign(weight.kernel)
    remember_draws(again, name, seed=3)
    for each in (model, again):
        path = save_ticket(each, tmp_path / "a.ticket")
        assert path.stat().st_size < 52_000
        assert kinds(path) == ["architecture"] + ["mask", "drawn"] * 5
        assert_same_masks(model, load_ticket(path).model, ["kernel", "mask"])


def test_what_is_drawn_is_drawn_on_the_first_cpu(tmp_path, monkeypatch):
    devices = []
    original = keras.initializers.VarianceScaling.__call__

    def spy(self, *args, **kwargs):
        drawn = original(self, *args, **kwargs)
        devices.append(drawn.device)
        return drawn

    model = conv2()
    monkeypatch.setattr(keras.initializers.VarianceScaling, "__call__", spy)
    with tf.device("CPU:1"):
        save_ticket(model, tmp_path / "a.ticket")
    drawn = [device for device in devices if device.startswith("/job")]
    assert len(drawn) == 5
    assert all(device.endswith("CPU:0") for device in drawn)


def test_plain_layers_kernels_are_drawn_too(tmp_path):
    drawn = keras.layers.Dense(300, kernel_initializer=keras.initializers.HeUniform(1))
    model = keras.Sequential([keras.Input((200,)), drawn, keras.layers.Dense(4)])
    path = save_ticket(model, tmp_path / "a.ticket")
    assert kinds(path) == ["architecture", "drawn", "values", "values", "values"]
    loaded = load_ticket(path).model
    for weight, other in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(weight, other)
    loaded.layers[0].kernel.assign_add(np.ones((200, 300)))
    save_ticket(loaded, path)
    assert kinds(path) == ["architecture", "values", "values", "values", "values"]


def test_other_random_numbers_are_an_error(tmp_path):
    path = save_ticket(conv2(), tmp_path / "a.ticket")
    header, contents = layout.read(path)
    drawn = next(part for part in header["parts"] if part["kind"] == "drawn")
    drawn["drawn_sha256"] = "0" * 64
    layout.write(path, header, contents)
    with pytest.raises(InputError, match=r"conv1/kernel.*drawn again exactly"):
        load_ticket(path)


@pytest.mark.parametrize(
    ("precision", "step"), [("float16", 2**-11), ("bfloat16", 2**-8)]
)
def test_precision_rounds_what_is_kept_and_nothing_else(precision, step, tmp_path):
    model = branched()
    scramble(model)
    path = save_ticket(model, tmp_path / "a.ticket", precision=precision)
    ticket = load_ticket(path)
    assert ticket.precision == precision
    assert_same_masks(model, ticket.model)
    errors = []
    pairs = zip(masked_weights(model), masked_weights(ticket.model), strict=True)
    for weight, other in pairs:
        kept = np.array(weight.masked())
        errors.append(np.abs(other.kernel - kept).max() / np.abs(kept).max())
    assert 0 < max(errors) <= step
    means = [each.get_layer("norm").adapt_mean for each in (ticket.model, model)]
    np.testing.assert_array_equal(*means)
    kept = [p for p in read_ticket_header(path)["parts"] if p["kind"] == "kept"]
    assert all(p["decoded_length"] == 2 * p["num_kept"] for p in kept)


def test_kernels_of_low_precision_stay_as_they_are(tmp_path):
    model = dense(5, 7, dtype="bfloat16")
    scramble(model)
    model.layers[0].kernel.assign_add(np.full((5, 7), 70_000.0))
    path = save_ticket(model, tmp_path / "a.ticket", precision="float16")
    assert read_ticket_header(path)["parts"][2]["stored_dtype"] == "bfloat16"
    loaded = load_ticket(path).model
    kept = masked_weights(model)[0].masked()
    np.testing.assert_array_equal(loaded.layers[0].kernel, kept)
    assert loaded.layers[0].kernel.dtype == "bfloat16"


def test_weights_too_large_for_the_precision_are_an_error_unless_removed(small):
    layer = load_ticket(small).model.layers[0]
    model, mask = keras.Sequential([keras.Input((2,)), layer]), np.array(layer.mask)
    layer.kernel.assign(np.where(mask == 1, layer.kernel, 1e30))
    save_ticket(model, small, precision="float16")
    found = load_ticket(small).model.layers[0].kernel
    np.testing.assert_array_equal(np.array(found) != 0, mask == 1)
    layer.kernel.assign(np.full(mask.shape, 70_000.0))
    with kept(small, r"d/kernel must fit in float16.*70000"):
        save_ticket(model, small, precision="float16")


@pytest.mark.parametrize("sparsity", [0.0, 0.37, 0.999])
@pytest.mark.parametrize("method", ["edge_popup", "edge_popup_by_score"])
def test_every_count_comes_back(sparsity, method, tmp_path):
    model = dense(17, 23, sparsity=sparsity, method=method)
    loaded = load_ticket(save_ticket(model, tmp_path / "a.ticket")).model
    assert_same_masks(model, loaded)
    assert loaded.layers[0].sparsity == sparsity
    weight = masked_weights(loaded)[0]
    assert set(np.unique(weight.score)) <= {0.0, 1.0}
    for num_kept in (1, 100, 390, 391):
        weight.num_kept = num_kept
        again = load_ticket(save_ticket(loaded, tmp_path / "b.ticket")).model
        assert again.layers[0].num_kept == num_kept
        assert_same_masks(loaded, again)


@pytest.mark.parametrize("method", layers.method_names())
def test_every_method_comes_back_and_stores_its_weights_once(method, tmp_path):
    model = dense(40, 50, method=method, sparsity=0.6, use_bias=True)
    rng, (weight,) = np.random.default_rng(2), masked_weights(model)
    for variable in {id(v): v for v in (weight.kernel, weight.score)}.values():
        variable.assign(rng.normal(size=variable.shape))
    path = save_ticket(model, tmp_path / "a.ticket")
    loaded = load_ticket(path).model
    inputs = rng.normal(size=(3, 40)).astype(np.float32)
    np.testing.assert_array_equal(loaded(inputs), model(inputs))
    assert_same_masks(model, loaded)
    (other,) = masked_weights(loaded)
    assert other.method is weight.method
    assert other.trained is (
        other.score if weight.trained is weight.score else other.kernel
    )
    np.testing.assert_array_equal(other.effective(), weight.effective())
    expected = {"mask": 2000 // 8, "kept": 4 * weight.num_kept, "values": 4 * 50}
    if method == "signed":
        expected["signs"] = weight.num_kept // 8
    parts = {part["kind"]: part for part in read_ticket_header(path)["parts"]}
    del parts["architecture"]
    assert {kind: part["decoded_length"] for kind, part in parts.items()} == expected
    again = save_ticket(loaded, tmp_path / "b.ticket")
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("method", ["magnitude", "fixed"])
def test_kept_weights_that_are_zero_change_no_output(method, tmp_path):
    model = dense(6, 5, method=method, sparsity=0.5)
    kernel = np.where(np.arange(30) % 3, 0, np.arange(30) - 15.0).reshape(6, 5)
    model.layers[0].kernel.assign(kernel)
    path = save_ticket(model, tmp_path / "a.ticket", precision="float16")
    loaded, inputs = load_ticket(path).model, np.ones((2, 6))
    np.testing.assert_array_equal(loaded(inputs), model(inputs))
    assert loaded.layers[0].num_kept == 15
    if method == "fixed":
        assert_same_masks(model, loaded)


def test_counts_of_the_file_win_over_the_architecture(small, tmp_path):
    header, contents = layout.read(small)
    contents[0] = contents[0].replace(b'"sparsity":0.5', b'"sparsity":0.1')
    layout.write(small, header, contents)
    layer = load_ticket(small).model.layers[0]
    assert layer.num_kept == 3
    assert np.count_nonzero(layer.mask) == 3


def test_everything_said_of_a_model_comes_back(tmp_path, small):
    model = load_ticket(small).model
    path = save_ticket(
        model,
        str(tmp_path / "a.ticket"),
        class_names=("é", "b c", ""),
        mean=np.float32([0.1, -0.5]),
        std=(1, 2.5),
        recipe={"seed": 3, "nested": {"list": [1, None, True, "x"]}},
    )
    assert path == tmp_path / "a.ticket"
    ticket = load_ticket(path)
    assert ticket.class_names == ("é", "b c", "")
    assert ticket.mean == (float(np.float32(0.1)), -0.5)
    assert ticket.std == (1.0, 2.5)
    assert ticket.recipe == {"seed": 3, "nested": {"list": [1, None, True, "x"]}}
    assert (ticket.precision, ticket.version) == ("float32", 2)
    versions = read_ticket_header(path)["versions"]
    assert versions["format"] == 2
    assert versions["keras"] == keras.__version__

    bare = load_ticket(save_ticket(model, path))
    assert (bare.class_names, bare.mean, bare.std, bare.recipe) == (None,) * 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"precision": "int8"}, "precision.*int8"),
        ({"class_names": "abc"}, "class_names"),
        ({"class_names": [1]}, "class_names"),
        ({"class_names": ["a", "b"]}, "`class_names` must have a name for each of 3"),
        ({"mean": [float("nan")]}, "mean.*nan"),
        ({"mean": ["a"]}, "mean"),
        ({"std": [0.0]}, "std.*greater than 0"),
        ({"recipe": {"a": float("inf")}}, "recipe"),
        ({"recipe": {"a": object()}}, "recipe.*JSON"),
        ({"recipe": {"a": "x" * 70_000}}, "recipe|65536"),
    ],
)
def test_bad_arguments_leave_the_old_file(small, arguments, message):
    with kept(small, message):
        save_ticket(load_ticket(small).model, small, **arguments)


def test_what_fails_leaves_the_old_file(small, monkeypatch):
    model = load_ticket(small).model
    for path in (small.parent, small.parent / "no" / "a.ticket"):
        with kept(small, "file in a folder that exists"):
            save_ticket(model, path)

    with monkeypatch.context() as patch:
        full = mock.Mock(side_effect=OSError("No space left on device"))
        patch.setattr(os, "fsync", full)
        with kept(small, "No space", OSError):
            save_ticket(model, small, recipe={"other": 1})

    model.layers[0].units = 4  # not as its weights are
    with kept(small, r"missing=.*\(2, 3\).*added=.*\(2, 4\)"):
        save_ticket(model, small)


def test_size_is_checked_before_the_model_is_built(small, monkeypatch):
    with pytest.raises(InputError, match=r"at most 8 weights.*=9"):
        load_ticket(small, max_parameters=8)
    assert load_ticket(small, max_parameters=9).model
    with pytest.raises(InputError, match="max_parameters"):
        load_ticket(small, max_parameters=0)

    header, contents = layout.read(small)
    header["num_parameters"] = 8
    layout.write(small, header, contents)
    with pytest.raises(InputError, match=r"the 8 weights that the header.*=9"):
        load_ticket(small)


DRAWN = {"kind": "drawn", "drawn_sha256": "0" * 64}
SIGNED = [
    (2, {"kind": "kept", "stored_dtype": "float32"}, b"\0" * 12, "kind signs"),
    (2, DRAWN, b"", "kind signs"),
    (2, {}, b"", "must hold 1 bytes"),
    (2, {}, b"\0\0", "must hold 1 bytes"),
    (2, {}, b"\x10", "after a mask's last one"),
    (2, {"shape": [3, 2]}, b"\xe0", "of shape"),
    (3, {"kind": "signs"}, b"\0" * 12, "kind kept or drawn"),
]
UNSIGNED = [
    (1, {"num_kept": 4}, None, "keep the 4 weights.*num_kept=3"),
    (1, {"num_kept": "3"}, None, "num_kept"),
    (1, {"shape": [3, 2]}, None, r"shape \(2, 3\).*\[3, 2\]"),
    (1, {"shape": None}, None, "shape"),
    (1, {"dtype": ">f4"}, None, "must be float32"),
    (1, {"kind": "kept"}, None, "kind mask"),
    (1, {}, b"\xe4", "num_kept=4"),
    (1, {"num_kept": 0}, b"\x00", "at least 1"),
    (1, {}, b"\xe1", "after a mask's last one"),
    (1, {}, b"\xe0\x00", "must hold 1 bytes"),
    (1, {}, b"", "must hold 1 bytes"),
    (2, {"kind": "values"}, None, "kind kept or drawn"),
    (2, {"kind": "signs"}, None, "kind kept or drawn.*signs"),
    (2, DRAWN, None, "must hold 0 bytes"),
    (2, {"stored_dtype": "float16"}, None, "must hold 6 bytes"),
    (2, {"stored_dtype": "float8_e4m3fn"}, None, "stored as"),
    (2, {"stored_dtype": 3}, None, "stored_dtype"),
    (3, {"dtype": "float16"}, None, "must be float32"),
    (3, {"kind": "mask"}, None, "kind values or drawn"),
]


@pytest.mark.parametrize(
    ("method", "place", "lie", "data", "message"),
    [("edge_popup", *row) for row in UNSIGNED] + [("signed", *row) for row in SIGNED],
)
def test_lies_about_a_weight_are_refused(method, place, lie, data, message, small):
    if method == "signed":
        model = dense(2, 3, method="signed")
        scramble(model)
        save_ticket(model, small)
    header, contents = layout.read(small)
    header["parts"][place] |= lie
    contents[place] = contents[place] if data is None else data
    layout.write(small, header, contents)
    with pytest.raises(InputError, match=message):
        load_ticket(small)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("class_names", "abc"),
        ("class_names", [1]),
        ("mean", [None]),
        ("std", {}),
        ("recipe", [1]),
        ("precision", "int8"),
        ("precision", None),
        ("num_parameters", 9.0),
        ("num_parameters", True),
        ("versions", None),
    ],
)
def test_lies_of_the_header_are_refused(small, key, value):
    header, contents = layout.read(small)
    header[key] = value
    layout.write(small, header, contents)
    with pytest.raises(InputError, match=key.split("_")[0]):
        load_ticket(small)
    del header[key]
    layout.write(small, header, contents)
    with pytest.raises(InputError, match=key):
        load_ticket(small)


def test_a_loaded_model_trains_on_and_keras_may_forget_it(small):
    model = load_ticket(small).model
    inputs = np.linspace(-1, 1, 10, dtype=np.float32).reshape(5, 2)
    expected, before = model(inputs), np.array(model.layers[0].score)
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 2)), np.ones((4, 3)), epochs=1, verbose=0)
    assert not np.array_equal(model.layers[0].score, before)
    keras.backend.clear_session()
    np.testing.assert_array_equal(load_ticket(small).model(inputs), expected)


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9])
def test_signed_masks_come_back(sparsity, tmp_path):
    model = conv2(method="signed", sparsity=sparsity)
    path = save_ticket(model, tmp_path / "a.ticket")
    loaded = load_ticket(path).model
    assert_same_masks(model, loaded, ["kernel", "mask", "num_kept"])
    limit = 0
    for weight in masked_weights(model):
        k = weight.num_kept / weight.num_weights
        entropy = -sum(p * np.log2(p) for p in (k, 1 - k) if p)
        limit += weight.num_weights * entropy + weight.num_kept
    parts = read_ticket_header(path)["parts"]
    assert [part["kind"] for part in parts[1:4]] == ["mask", "signs", "drawn"]
    assert sum(part["length"] for part in parts[1:]) <= 1.05 * limit / 8 + 50


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_kept_weights_of_signed_masks_come_back(precision, tmp_path):
    model = dense(17, 23, sparsity=0.37, method="signed")
    scramble(model)
    (layer,) = model.layers
    layer.score.assign(np.random.default_rng(1).normal(size=(17, 23)))
    path = save_ticket(model, tmp_path / "a.ticket", precision=precision)
    assert kinds(path) == ["architecture", "mask", "signs", "kept"]
    loaded = load_ticket(path).model.layers[0]
    assert set(np.unique(loaded.score)) == {-1, 0, 1}
    np.testing.assert_array_equal(loaded.mask, layer.mask)
    step = {"float32": 0, "bfloat16": 2**-8}[precision]
    kept = np.where(np.array(layer.mask), layer.kernel, 0)
    np.testing.assert_allclose(loaded.kernel, kept, rtol=step, atol=0)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("score", r"scores of d/kernel must be finite.*'1 of 6'"),
        ("kernel", r"kept weights of d/kernel must be finite.*'1 of 3'"),
        ("bias", r"weights of d/bias must be finite.*'1 of 3'"),
    ],
)
def test_weights_that_are_not_finite_are_refused(number, attribute, message, small):
    model = load_ticket(small).model
    layer = model.layers[0]
    values = np.array(getattr(layer, attribute))
    values.flat[np.argmax(layer.mask) % values.size] = number
    getattr(layer, attribute).assign(values)
    with kept(small, message):
        save_ticket(model, small)


def test_tickets_of_version_1_are_read():
    """The file is of `branched()`, scrambled, by the program that knew no other."""
    ticket = load_ticket(pathlib.Path(__file__).parent / "version_1.ticket")
    assert ticket.version == 1
    digest = hashlib.sha256()
    for weight in masked_weights(ticket.model):
        digest.update(np.array(weight.kernel).tobytes())
        digest.update(np.array(weight.mask).tobytes())
    expected = "d32cd74dd1c350cd341a8fff4124a86eb4ac17d2fba959a043582c5df4f0a1a8"
    assert digest.hexdigest() == expected


@pytest.mark.parametrize(
    ("shape", "facts"),
    [
        ((3, 8, 6), {"mean": [0.5] * 3, "std": [0.2] * 3}),  # channels first
        ((28, 28), {"mean": [0.1], "std": [0.3]}),  # grey
        ((None, None, 3), {"mean": [0.1] * 3, "std": [0.3] * 3}),
        ((4,), {"class_names": ["cat", "dog"]}),  # one logit
    ],
)
def test_lengths_are_those_of_images_and_logits(tmp_path, shape, facts):
    pictures = len(shape) == 3
    pooling, flat = keras.layers.GlobalAveragePooling2D, keras.layers.Flatten
    inputs = keras.Input(shape)
    x = (pooling if pictures else flat)()(inputs)
    model = keras.Model(inputs, layers.SupermaskDense(1, activation="sigmoid")(x))
    ticket = load_ticket(save_ticket(model, tmp_path / "m.ticket", **facts))
    assert {name: list(getattr(ticket, name)) for name in facts} == facts
    if pictures and None not in shape:
        with kept(tmp_path / "m.ticket", r"`std` must have .*\(None, 3, 8, 6\)"):
            save_ticket(model, tmp_path / "m.ticket", std=[1.0] * 4)
