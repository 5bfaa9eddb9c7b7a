import hashlib
import os
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.tickets import layout
from tfsupermask import init, layers, models
from tfsupermask._validation import InputError
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
    twice = layers.SupermaskSeparableConv2D(
        4,
        3,
        sparsity=(0.1, 0.6),
        method="edge_popup_by_score",
        padding="same",
        activation="gelu",
    )
    x = keras.layers.Add()([inner(twice(x)), twice(twice(x))]) * 0.5
    x = keras.layers.Conv2D(2, 1, kernel_constraint="non_neg")(x)
    x = layers.SupermaskConv2DTranspose(3, 2, strides=2)(x)
    y = keras.layers.Flatten()(x)
    y = keras.layers.Dropout(0.5, seed=3)(y)
    y = layers.SupermaskDense(3, sparsity=0.9, activation=keras.layers.LeakyReLU())(y)
    z = keras.layers.Reshape((-1, 3))(x)
    z = layers.SupermaskConv1D(2, 3, padding="causal")(z)
    return keras.Model(inputs, {"y": y, "z": z})


def spatial():
    """A Sequential model in another Sequential model."""
    body = keras.Sequential(
        [
            keras.Input((4, 4, 4, 2)),
            layers.SupermaskConv3D(3, 3, kernel_regularizer="l2"),
            keras.layers.Flatten(),
        ]
    )
    return keras.Sequential([body, layers.SupermaskDense(2)])


def resnet18():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models.resnet, "_FILTERS", (4, 4, 4, 4))
        return models.build("resnet18", (8, 8, 3), sparsity=0.3)


def conv2():
    return models.build("conv2", (8, 8, 3), sparsity=0.7)


@pytest.mark.parametrize("make", [conv2, resnet18, branched, spatial])
def test_a_loaded_model_is_the_same(make, tmp_path):
    model = make()
    scramble(model)
    inputs = np.random.default_rng(1).normal(size=(3, *model.input_shape[1:]))
    inputs = inputs.astype(np.float32)
    loaded = load_ticket(save_ticket(model, tmp_path / "a.ticket")).model

    assert_same_masks(model, loaded, ["mask", "num_kept", "sparsity"])
    for found, expected in (
        (loaded(inputs), model(inputs)),
        (tf.function(loaded)(inputs), tf.function(model)(inputs)),
    ):
        tf.nest.map_structure(np.testing.assert_array_equal, found, expected)
    kernels = {id(weight.kernel) for weight in masked_weights(model)}
    scores = {id(weight.score) for weight in masked_weights(model)}
    for weight, other in zip(model.weights, loaded.weights, strict=True):
        assert (weight.trainable, weight.dtype) == (other.trainable, other.dtype)
        if id(weight) not in kernels | scores:
            np.testing.assert_array_equal(weight, other)
    for weight, other in zip(
        masked_weights(model), masked_weights(loaded), strict=True
    ):
        np.testing.assert_array_equal(weight.kernel * weight.mask, other.kernel)


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


def conv6():
    return models.build("conv6", seed=3)


def signed_constants():
    model = models.build("conv2", (8, 8, 1))
    init.initialize(model, "signed_constant", seed=5)
    for weight in masked_weights(model):
        assert isinstance(weight.layer.kernel_initializer, layers.SignedConstant)
    return model


@pytest.mark.parametrize("make", [conv6, signed_constants])
def test_drawn_kernels_take_no_space(make, tmp_path):
    model = make()
    path = save_ticket(model, tmp_path / "a.ticket")
    assert path.stat().st_size < 300_000
    weights = masked_weights(model)
    assert kinds(path) == ["architecture"] + ["mask", "drawn"] * len(weights)
    assert_same_masks(model, load_ticket(path).model, ["kernel", "mask"])

    values = np.array(weights[0].kernel)
    values[0, 0, 0, 0] = np.nextafter(values[0, 0, 0, 0], 1)
    weights[0].kernel.assign(values)
    save_ticket(model, path)
    assert kinds(path)[:5] == ["architecture", "mask", "kept", "mask", "drawn"]


def test_what_is_drawn_is_drawn_on_the_first_cpu(tmp_path, monkeypatch):
    devices = []
    original = keras.initializers.VarianceScaling.__call__

    def spy(self, *args, **kwargs):
        drawn = original(self, *args, **kwargs)
        devices.append(drawn.device)
        return drawn

    model = models.build("conv2", (8, 8, 1))
    monkeypatch.setattr(keras.initializers.VarianceScaling, "__call__", spy)
    with tf.device("CPU:1"):
        save_ticket(model, tmp_path / "a.ticket")
    drawn = [device for device in devices if device.startswith("/job")]
    assert len(drawn) == 5
    assert all(device.endswith("CPU:0") for device in drawn)


def test_a_kernel_without_a_seed_is_stored(tmp_path):
    model = models.build("conv2", (8, 8, 1))
    model.layers[1].kernel_initializer = keras.initializers.Zeros()
    path = save_ticket(model, tmp_path / "a.ticket")
    assert kinds(path)[:5] == ["architecture", "mask", "kept", "mask", "drawn"]
    assert_same_masks(model, load_ticket(path).model)


def test_plain_layers_kernels_are_drawn_too(tmp_path):
    drawn = keras.initializers.HeUniform(seed=1)
    model = keras.Sequential(
        [
            keras.Input((200,)),
            keras.layers.Dense(300, kernel_initializer=drawn),
            keras.layers.Dense(4),
        ]
    )
    path = save_ticket(model, tmp_path / "a.ticket")
    assert kinds(path) == ["architecture", "drawn", "values", "values", "values"]
    loaded = load_ticket(path).model
    for weight, other in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(weight, other)
    loaded.layers[0].kernel.assign_add(np.ones((200, 300)))
    save_ticket(loaded, path)
    assert kinds(path) == ["architecture", "values", "values", "values", "values"]


def test_other_random_numbers_are_an_error(tmp_path, small):
    path = save_ticket(models.build("conv2", (8, 8, 1)), tmp_path / "a.ticket")
    header, contents = layout.read(path)
    drawn = next(part for part in header["parts"] if part["kind"] == "drawn")
    drawn["drawn_sha256"] = "0" * 64
    layout.write(path, header, contents)
    with pytest.raises(InputError, match=r"conv1/kernel.*drawn again exactly"):
        load_ticket(path)


@pytest.mark.parametrize(
    ("precision", "step"), [("float32", 0.0), ("float16", 2**-11), ("bfloat16", 2**-8)]
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
        kept = np.array(weight.kernel * weight.mask)
        errors.append(np.abs(other.kernel - kept).max() / np.abs(kept).max())
    assert max(errors) <= step
    assert (max(errors) > 0) == (precision != "float32")
    np.testing.assert_array_equal(
        ticket.model.get_layer("norm").adapt_mean, model.get_layer("norm").adapt_mean
    )
    kept = [p for p in read_ticket_header(path)["parts"] if p["kind"] == "kept"]
    width = 4 if precision == "float32" else 2
    assert all(p["decoded_length"] == width * p["num_kept"] for p in kept)


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


def test_weights_too_large_for_the_precision_are_an_error(tmp_path, small):
    model = load_ticket(small).model
    kernel = model.layers[0].kernel
    kernel.assign(np.full(kernel.shape, 70_000.0))
    before = small.read_bytes()
    with pytest.raises(InputError, match=r"d/kernel must fit in float16.*70000"):
        save_ticket(model, small, precision="float16")
    assert small.read_bytes() == before
    assert list(tmp_path.iterdir()) == [small]


def test_removed_weights_may_be_anything(tmp_path, small):
    model = load_ticket(small).model
    layer = model.layers[0]
    kernel = np.where(np.array(layer.mask) == 1, layer.kernel, 1e30)
    layer.kernel.assign(kernel)
    save_ticket(model, small, precision="float16")
    found = load_ticket(small).model.layers[0].kernel
    np.testing.assert_array_equal(np.array(found) != 0, np.array(layer.mask) == 1)


@pytest.mark.parametrize("sparsity", [0.0, 0.01, 0.37, 0.5, 0.999])
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
        ({"mean": [float("nan")]}, "mean.*nan"),
        ({"mean": ["a"]}, "mean"),
        ({"std": [0.0]}, "std.*greater than 0"),
        ({"recipe": {"a": float("inf")}}, "recipe"),
        ({"recipe": {"a": object()}}, "recipe.*JSON"),
        ({"recipe": {"a": "x" * 70_000}}, "recipe|65536"),
    ],
)
def test_bad_arguments_leave_the_old_file(small, arguments, message):
    model, before = load_ticket(small).model, small.read_bytes()
    with pytest.raises(InputError, match=message):
        save_ticket(model, small, **arguments)
    assert small.read_bytes() == before


def test_there_must_be_a_folder_and_no_folder_in_the_way(small):
    model = load_ticket(small).model
    for path in (small.parent, small.parent / "no" / "a.ticket"):
        with pytest.raises(InputError, match="file in a folder that exists"):
            save_ticket(model, path)


def test_layers_must_be_as_their_configs_say(small):
    model, before = load_ticket(small).model, small.read_bytes()
    model.layers[0].units = 4
    with pytest.raises(InputError, match=r"missing=.*\(2, 3\).*added=.*\(2, 4\)"):
        save_ticket(model, small)
    assert small.read_bytes() == before


def test_a_failed_write_leaves_the_old_file(small, monkeypatch):
    model, before = load_ticket(small).model, small.read_bytes()

    def no_space(file):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        save_ticket(model, small, recipe={"other": 1})
    assert small.read_bytes() == before


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


def test_a_loaded_model_trains_on(small):
    model = load_ticket(small).model
    model.compile("sgd", "mse")
    before = np.array(model.layers[0].score)
    model.fit(np.ones((4, 2)), np.ones((4, 3)), epochs=1, verbose=0)
    assert not np.array_equal(model.layers[0].score, before)


def test_a_ticket_is_read_again_after_keras_has_forgotten_all(small):
    inputs = np.linspace(-1, 1, 10, dtype=np.float32).reshape(5, 2)
    expected = load_ticket(small).model(inputs)
    keras.backend.clear_session()
    np.testing.assert_array_equal(load_ticket(small).model(inputs), expected)


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.5, 0.9])
def test_signed_masks_come_back(sparsity, tmp_path):
    model = models.build("conv2", (8, 8, 3), method="signed", sparsity=sparsity)
    path = save_ticket(model, tmp_path / "a.ticket")
    loaded = load_ticket(path).model
    assert_same_masks(model, loaded, ["kernel", "mask", "num_kept"])
    limit = 0
    for weight in masked_weights(model):
        limit += weight.num_weights * entropy(weight.num_kept / weight.num_weights)
        limit += weight.num_kept
    parts = read_ticket_header(path)["parts"]
    assert [part["kind"] for part in parts[1:4]] == ["mask", "signs", "drawn"]
    assert sum(part["length"] for part in parts[1:]) <= 1.05 * limit / 8 + 50


def entropy(k):
    return -sum(p * np.log2(p) for p in (k, 1 - k) if p)


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
    ],
)
def test_masks_that_are_not_finite_are_refused(number, attribute, message, small):
    model, before = load_ticket(small).model, small.read_bytes()
    layer = model.layers[0]
    place = np.argmax(layer.mask)
    values = np.array(getattr(layer, attribute))
    values.flat[place] = number
    getattr(layer, attribute).assign(values)
    with pytest.raises(InputError, match=message):
        save_ticket(model, small)
    assert small.read_bytes() == before


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
