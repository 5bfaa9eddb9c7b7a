import keras
import numpy as np
import pytest

from tfsupermask import models
from tfsupermask._validation import InputError
from tfsupermask.init import baselines
from tfsupermask.layers import SupermaskConv2D, SupermaskDense, supermask_layers
from tfsupermask.ops import derive_seed

SHAPE = (3, 3, 16, 128)  # fan in 144, fan out 1152
STD = {
    "glorot_normal": np.sqrt(2 / (144 + 1152)),
    "glorot_uniform": np.sqrt(2 / (144 + 1152)),
    "kaiming_normal": np.sqrt(2 / 144),
    "kaiming_uniform": np.sqrt(2 / 144),
    "signed_constant": np.sqrt(2 / 144),
}
each_name = pytest.mark.parametrize("name", baselines.NAMES)


def draw(name, seed=0, sparsity=0.0, shape=SHAPE):
    return np.array(baselines.kernel_initializer(name, seed, sparsity)(shape))


def build_small(**kwargs):
    return models.build("conv2", input_shape=(8, 8, 3), num_classes=3, **kwargs)


def kernels(model):
    return [layer.kernel.numpy() for layer in supermask_layers(model)]


def make_plain_model():
    """Masked, plain and nested layers, and some without a kernel of that kind."""
    inner = keras.Sequential(
        [keras.Input((6, 6, 4)), keras.layers.Conv2D(5, 3, use_bias=False)]
    )
    return keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            keras.layers.Conv2D(4, 3, padding="same", bias_initializer="ones"),
            keras.layers.BatchNormalization(),
            inner,
            keras.layers.Flatten(),
            SupermaskDense(6, sparsity=0.75),
            keras.layers.Dense(3),
        ]
    )


def kernels_with_nested(model):
    first, _, inner, _, masked, last = model.layers
    return [each.kernel for each in (first, inner.layers[0], masked, last)]


def test_names():
    assert set(baselines.NAMES) == set(STD)


@each_name
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_mean_and_standard_deviation(seed, name):
    values = draw(name, seed)
    assert values.shape == SHAPE
    assert values.dtype == np.float32
    assert abs(values.std() / STD[name] - 1) < 0.02
    assert abs(values.mean() / STD[name]) < 0.03


@pytest.mark.parametrize(
    ("name", "std"),
    [
        ("glorot_normal", np.sqrt(2 / (500 + 40))),
        ("glorot_uniform", np.sqrt(2 / (500 + 40))),
        ("kaiming_normal", np.sqrt(2 / 500)),
        ("kaiming_uniform", np.sqrt(2 / 500)),
        ("signed_constant", np.sqrt(2 / 500)),
    ],
)
def test_fans_of_a_dense_kernel(name, std):
    assert abs(draw(name, shape=(500, 40)).std() / std - 1) < 0.02


@pytest.mark.parametrize("name", ["glorot_normal", "kaiming_normal"])
def test_normals_are_not_truncated(name):
    standardized = draw(name) / STD[name]
    for sigmas, expected in [(1, 0.31731), (2, 0.04550), (3, 0.00270)]:
        beyond = np.mean(np.abs(standardized) > sigmas)
        assert abs(beyond - expected) < 5 * np.sqrt(expected / standardized.size)
    assert np.abs(standardized).max() > 3.5
    assert abs(np.mean(standardized**4) - 3) < 0.2


@pytest.mark.parametrize("name", ["glorot_uniform", "kaiming_uniform"])
def test_uniforms_fill_exactly_their_range(name):
    values, bound = draw(name), np.sqrt(3) * STD[name]
    assert -bound <= values.min() < -0.999 * bound
    assert 0.999 * bound < values.max() <= bound
    histogram, _ = np.histogram(values, bins=8, range=(-bound, bound))
    np.testing.assert_allclose(histogram, values.size / 8, rtol=0.1)


def test_signed_constant_is_plus_or_minus_one_value():
    values = draw("signed_constant")
    magnitude = np.float32(np.sqrt(2 / 144))
    np.testing.assert_array_equal(np.unique(values), [-magnitude, magnitude])
    assert abs(np.mean(values > 0) - 0.5) < 0.02


@each_name
@pytest.mark.parametrize(
    ("sparsity", "factor"), [(0.0, 1), (0.5, np.sqrt(2)), (0.75, 2), (0.99, 10)]
)
def test_correction_divides_by_the_root_of_what_is_kept(sparsity, factor, name):
    corrected, plain = draw(name, sparsity=sparsity), draw(name)
    np.testing.assert_allclose(corrected, factor * plain, rtol=1e-5, atol=1e-6)


@each_name
def test_values_are_a_function_of_the_seed(name):
    np.testing.assert_array_equal(draw(name, seed=4), draw(name, seed=4))
    assert np.mean(draw(name, seed=4) != draw(name, seed=5)) > 0.4


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("he_normal", 0), "init='he_normal'"),
        ((None, 0), "init=None"),
        (("kaiming_normal", -1), "seed=-1"),
        (("kaiming_normal", None), "seed=None"),
        (("kaiming_normal", 0, 1.0), "sparsity=1.0"),
        (("signed_constant", 0, -0.5), "sparsity=-0.5"),
    ],
)
def test_kernel_initializer_refuses_bad_arguments(arguments, named):
    with pytest.raises(InputError, match=f"Received: {named}$"):
        baselines.kernel_initializer(*arguments)


@pytest.mark.parametrize("scale", [0, -1.0, float("nan"), "2", None])
def test_signed_constant_refuses_a_bad_scale(scale):
    with pytest.raises(InputError, match=f"Received: scale={scale!r}$"):
        baselines.SignedConstant(scale)


@pytest.mark.parametrize("dtype", [None, "float32", "float16", "bfloat16", "float64"])
def test_signed_constant_has_the_dtype_asked_for(dtype):
    values = baselines.SignedConstant(seed=0)((4, 4), dtype=dtype)
    assert values.dtype == (dtype or "float32")


def test_signed_constant_serialisation():
    initializer = baselines.SignedConstant(scale=3.0, seed=5)
    config = keras.saving.serialize_keras_object(initializer)
    assert config["registered_name"] == "tfsupermask>SignedConstant"
    twin = keras.saving.deserialize_keras_object(config)
    assert twin.get_config() == {"scale": 3.0, "seed": 5}
    np.testing.assert_array_equal(twin(SHAPE), initializer(SHAPE))


def test_signed_constant_in_a_saved_layer(tmp_path):
    layer = SupermaskConv2D(4, 3, kernel_initializer=baselines.SignedConstant(seed=1))
    model = keras.Sequential([keras.Input((6, 6, 2)), layer])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras").layers[0]
    assert loaded.kernel_initializer.get_config() == {"scale": 2.0, "seed": 1}
    np.testing.assert_array_equal(loaded.kernel, layer.kernel)


@pytest.mark.parametrize("seed", [0, 3])
def test_glorot_normal_is_what_models_start_with(seed):
    built, drawn = build_small(seed=seed), build_small(seed=seed + 1)
    baselines.initialize(drawn, "glorot_normal", seed)
    for one, two in zip(kernels(built), kernels(drawn), strict=True):
        np.testing.assert_array_equal(one, two)


@each_name
@pytest.mark.parametrize("correction", [False, True])
def test_every_kernel_is_drawn_from_its_own_seed(correction, name):
    model = make_plain_model()
    before = {variable.path: variable.numpy().copy() for variable in model.variables}
    baselines.initialize(model, name, seed=2, fan_correction=correction)
    drawn = kernels_with_nested(model)
    for index, kernel in enumerate(drawn):
        # Only the third layer has a mask, of sparsity 0.75.
        sparsity = 0.75 if correction and index == 2 else 0.0
        seed = derive_seed(2, "kernel", index)
        np.testing.assert_array_equal(kernel, draw(name, seed, sparsity, kernel.shape))
    changed = {
        variable.path
        for variable in model.variables
        if np.any(before[variable.path] != variable.numpy())
    }
    assert changed == {kernel.path for kernel in drawn}


@each_name
def test_initialize_is_a_function_of_the_seed(name):
    model = build_small()
    drawn = []
    for seed in (1, 1, 2):
        baselines.initialize(model, name, seed)
        drawn.append(kernels(model))
    for one, two, three in zip(*drawn, strict=True):
        np.testing.assert_array_equal(one, two)
        assert np.any(one != three)


def test_fan_correction_uses_each_layers_own_sparsity():
    models_by_correction = [build_small(), build_small()]
    for model, correction in zip(models_by_correction, (False, True), strict=True):
        supermask_layers(model)[0].sparsity = 0.75
        supermask_layers(model)[1].sparsity = 0.0
        baselines.initialize(model, "kaiming_normal", fan_correction=correction)
    plain, corrected = map(kernels, models_by_correction)
    for index, factor in enumerate([2, 1, *[np.sqrt(2)] * 3]):
        np.testing.assert_allclose(corrected[index], factor * plain[index], rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(("xavier",), "init='xavier'"), (("glorot_normal", -1), "seed=-1")],
)
def test_initialize_refuses_and_changes_nothing(arguments, named):
    model = build_small()
    before = kernels(model)
    with pytest.raises(InputError, match=f"Received: {named}$"):
        baselines.initialize(model, *arguments)
    for one, two in zip(before, kernels(model), strict=True):
        np.testing.assert_array_equal(one, two)
