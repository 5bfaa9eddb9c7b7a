import keras
import numpy as np
import pytest

from tests.init.common import changed_in, unchanged, values_of
from tfsupermask import models
from tfsupermask._validation import InputError
from tfsupermask.init import baselines
from tfsupermask.layers import (
    Kernel,
    SupermaskConv2D,
    SupermaskDense,
    SupermaskSeparableConv2D,
    supermask_layers,
)
from tfsupermask.ops import derive_seed

SHAPE = (3, 3, 16, 128)  # fan in 144, fan out 1152
STD = {
    "glorot_normal": np.sqrt(2 / (144 + 1152)),
    "glorot_uniform": np.sqrt(2 / (144 + 1152)),
    "kaiming_normal": np.sqrt(2 / 144),
    "kaiming_uniform": np.sqrt(2 / 144),
    "signed_constant": np.sqrt(2 / 144),
}
each_name = pytest.mark.parametrize("name", sorted({*STD, *baselines.NAMES}))


def draw(name, seed=0, sparsity=0.0, shape=SHAPE):
    kernel = Kernel(keras.Variable(np.zeros(shape)), None, "kernel", 0)
    return np.array(baselines.kernel_initializer(name, seed, sparsity, kernel)(shape))


def build_small(**kwargs):
    return models.build("conv2", input_shape=(8, 8, 3), num_classes=3, **kwargs)


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


@each_name
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_mean_and_standard_deviation(seed, name):
    values = draw(name, seed)
    assert values.shape == SHAPE
    assert values.dtype == np.float32
    assert abs(values.std() / STD[name] - 1) < 0.02
    assert abs(values.mean() / STD[name]) < 0.03
    of_dense = np.sqrt(2 / (500 + 40 if "glorot" in name else 500))
    assert abs(draw(name, seed, shape=(500, 40)).std() / of_dense - 1) < 0.02


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


@pytest.mark.parametrize("scale", [0, -1.0, float("nan"), "2", None])
def test_signed_constant_refuses_a_bad_scale(scale):
    with pytest.raises(InputError, match=f"Received: scale={scale!r}$"):
        baselines.SignedConstant(scale)


@pytest.mark.parametrize("dtype", [None, "float32", "float16", "bfloat16", "float64"])
def test_signed_constant_has_the_dtype_asked_for(dtype):
    values = baselines.SignedConstant(seed=0)((4, 4), dtype=dtype)
    assert values.dtype == (dtype or "float32")


def test_signed_constant_is_saved_by_name_and_with_its_layer(tmp_path):
    initializer = baselines.SignedConstant(scale=3.0, seed=5)
    config = keras.saving.serialize_keras_object(initializer)
    assert config["registered_name"] == "tfsupermask>SignedConstant"
    twin = keras.saving.deserialize_keras_object(config)
    np.testing.assert_array_equal(twin(SHAPE), initializer(SHAPE))
    layer = SupermaskConv2D(4, 3, kernel_initializer=initializer)
    model = keras.Sequential([keras.Input((6, 6, 2)), layer])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras").layers[0]
    for each in (twin, loaded.kernel_initializer):
        assert each.get_config() == {"scale": 3.0, "seed": 5}
    np.testing.assert_array_equal(loaded.kernel, layer.kernel)


@each_name
@pytest.mark.parametrize("correction", [False, True])
def test_every_kernel_is_drawn_from_its_own_seed(correction, name):
    model = make_plain_model()
    before = values_of(model)
    baselines.initialize(model, name, seed=2, fan_correction=correction)
    drawn = kernels_with_nested(model)
    for index, kernel in enumerate(drawn):
        # Only the third layer has a mask, of sparsity 0.75.
        sparsity = 0.75 if correction and index == 2 else 0.0
        seed = derive_seed(2, "kernel", index)
        np.testing.assert_array_equal(kernel, draw(name, seed, sparsity, kernel.shape))
    assert changed_in(model, before) == {kernel.path for kernel in drawn}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("xavier",), "init='xavier'"),
        ((None,), "init=None"),
        (("glorot_normal", -1), "seed=-1"),
        (("glorot_normal", None), "seed=None"),
    ],
)
def test_initialize_refuses_and_changes_nothing(arguments, named):
    model = build_small()
    with (
        unchanged(model),
        pytest.raises(InputError, match=f"Received: {named}$"),
    ):
        baselines.initialize(model, *arguments)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (keras.Sequential([keras.layers.Dense(3)]), "`model` must be built"),
        ("resnet", "must be a Keras model.*model='resnet'"),
    ],
)
def test_initialize_refuses_what_has_no_weights_yet(model, message):
    with pytest.raises(InputError, match=message):
        baselines.initialize(model, "kaiming_normal")


def test_initialize_refuses_weights_of_another_model():
    model, other = build_small(), build_small()
    kernels = [model.get_layer("conv1").kernel, other.get_layer("conv1").kernel]
    with (
        unchanged(model),
        pytest.raises(InputError, match=r"weights of the model.*conv1"),
    ):
        baselines.initialize(model, "kaiming_normal", 1, kernels=kernels)


def make_model_of_every_layout():
    """A nested separable convolution, and the layouts that Keras takes for regular."""
    inner = keras.Sequential(
        [
            keras.Input((9, 9, 32)),
            keras.layers.SeparableConv2D(24, 3, depth_multiplier=2, name="separable"),
            SupermaskSeparableConv2D(40, 3, sparsity=(0.0, 0.75), name="masked"),
        ]
    )
    return keras.Sequential(
        [
            keras.Input((9, 9, 16)),
            keras.layers.DepthwiseConv2D(
                5, depth_multiplier=2, padding="same", name="depthwise"
            ),
            inner,
            keras.layers.Conv2DTranspose(96, 3, name="transpose"),
            keras.layers.Reshape((7, 7, 96, 1)),
            keras.layers.Conv3D(8, (2, 2, 3), name="conv3d"),
            keras.layers.Reshape((-1, 8)),
            keras.layers.Conv1D(64, 5, groups=2, name="conv1d"),
        ]
    )


# Layer, kernel, its initializer, fan_in and fan_out, in the order of the places.
LAYOUTS = [
    ("depthwise", "kernel", "depthwise_initializer", 25, 25 * 32),
    ("separable", "depthwise_kernel", "depthwise_initializer", 9, 9 * 64),
    ("separable", "pointwise_kernel", "pointwise_initializer", 64, 24),
    ("masked", "depthwise_kernel", "depthwise_initializer", 9, 9 * 24),
    ("masked", "pointwise_kernel", "pointwise_initializer", 24, 40),
    ("transpose", "kernel", "kernel_initializer", 9 * 40, 9 * 96),
    ("conv3d", "kernel", "kernel_initializer", 12, 12 * 8),
    ("conv1d", "kernel", "kernel_initializer", 20, 320),
]


def find_layer(model, name):
    return next(layer for layer in model._flatten_layers() if layer.name == name)


@each_name
def test_every_layout_has_its_own_fans_and_seeds(name):
    model = make_model_of_every_layout()
    baselines.initialize(model, name, seed=5)
    drawn = []
    for layer_name, attribute, initializer, fan_in, fan_out in LAYOUTS:
        layer = find_layer(model, layer_name)
        values = getattr(layer, attribute).numpy()
        fan = (fan_in + fan_out) / 2 if "glorot" in name else fan_in
        variance = (1 if "glorot" in name else 2) / fan
        assert abs(values.std() / np.sqrt(variance) - 1) < 4 / np.sqrt(values.size)
        config = layer.get_config()[initializer]
        again = keras.initializers.deserialize(config)(values.shape)
        np.testing.assert_array_equal(again, values)
        drawn.append(getattr(layer, initializer).seed)
    assert drawn == [derive_seed(5, "kernel", place) for place in range(len(LAYOUTS))]


def test_fan_correction_of_two_kernels_uses_the_sparsity_of_each():
    corrected, plain = make_model_of_every_layout(), make_model_of_every_layout()
    baselines.initialize(corrected, "kaiming_normal", fan_correction=True)
    baselines.initialize(plain, "kaiming_normal")
    for layer_name, attribute, *_ in LAYOUTS:
        one = getattr(find_layer(corrected, layer_name), attribute)
        two = getattr(find_layer(plain, layer_name), attribute)
        factor = 2 if (layer_name, attribute) == ("masked", "pointwise_kernel") else 1
        np.testing.assert_allclose(one, factor * two, rtol=1e-5)


@each_name
def test_kernels_can_be_drawn_again_from_the_saved_model(name, tmp_path):
    model = make_plain_model()
    baselines.initialize(model, name, seed=7, fan_correction=True)
    model.save(tmp_path / "model.keras")
    clone = keras.models.clone_model(keras.models.load_model(tmp_path / "model.keras"))
    for one, two in zip(
        kernels_with_nested(model), kernels_with_nested(clone), strict=True
    ):
        np.testing.assert_array_equal(one, two)


def test_kernels_not_asked_for_keep_values_and_initializer():
    model, whole = make_plain_model(), make_plain_model()
    first, _, inner, _, masked, last = model.layers
    before = {layer.name: layer.kernel.numpy() for layer in (first, last)}
    configs = {layer.name: layer.get_config() for layer in (first, last)}
    wanted = [masked.kernel, inner.layers[0].kernel]
    baselines.initialize(model, "kaiming_normal", kernels=wanted)
    baselines.initialize(whole, "kaiming_normal")
    for layer in (first, last):
        np.testing.assert_array_equal(layer.kernel, before[layer.name])
        assert layer.get_config() == configs[layer.name]
    drawn, expected = kernels_with_nested(model), kernels_with_nested(whole)
    for place in (1, 2):
        np.testing.assert_array_equal(drawn[place], expected[place])


def test_all_weights_of_a_masked_layer_stand_for_its_kernel():
    model, whole = make_plain_model(), make_plain_model()
    masked = model.layers[4]
    baselines.initialize(model, "kaiming_normal", kernels=masked.weights)
    baselines.initialize(whole, "kaiming_normal")
    np.testing.assert_array_equal(masked.kernel, whole.layers[4].kernel)


@pytest.mark.parametrize("foreign", ["kernel", np.zeros(3), keras.Variable([1.0])])
def test_weights_of_others_are_refused(foreign):
    with pytest.raises(InputError, match="must be weights of the model"):
        baselines.initialize(make_plain_model(), "kaiming_normal", kernels=[foreign])


def test_a_layer_of_an_outer_and_an_inner_model_has_one_place():
    shared, second, last = (keras.layers.Dense(units) for units in (4, 4, 2))
    inner = keras.Sequential([keras.Input((4,)), shared, second])
    model = keras.Sequential([keras.Input((4,)), shared, inner, last])
    baselines.initialize(model, "glorot_normal")
    seeds = [each.kernel_initializer.seed for each in (shared, second, last)]
    assert seeds == [derive_seed(0, "kernel", place) for place in range(3)]


def rebuilt(model):
    """The model as its program rebuilds it: new, with the values of the old one."""
    again = build_small()
    for layer, old in zip(
        supermask_layers(again), supermask_layers(model), strict=True
    ):
        layer.kernel.assign(old.kernel)
    return again


@each_name
@pytest.mark.parametrize("factor", [1.0, 0.0123, 3.7e4])
def test_draws_are_remembered_at_any_scale(name, factor):
    model = build_small()
    baselines.initialize(model, name, seed=5)
    for layer in supermask_layers(model):
        config = layer.kernel_initializer.get_config()
        config["scale"] *= factor**2
        layer.kernel.assign(
            type(layer.kernel_initializer).from_config(config)(layer.kernel.shape)
        )
    again = rebuilt(model)
    baselines.remember_draws(again, name, seed=5)
    for layer, old in zip(
        supermask_layers(again), supermask_layers(model), strict=True
    ):
        drawn = layer.kernel_initializer(layer.kernel.shape)
        np.testing.assert_array_equal(drawn, old.kernel)
        np.testing.assert_array_equal(layer.kernel, old.kernel)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "change",
    [
        lambda values: -values,
        lambda values: np.zeros_like(values),
        lambda values: np.where(values == values.max(), np.nan, values),
        lambda values: np.where(values == values.max(), np.inf, values),
        lambda values: np.where(
            values == values.max(), np.nextafter(values, np.float32(9)), values
        ),
        lambda values: values[..., ::-1],
    ],
)
def test_what_is_no_draw_is_not_remembered_as_one(change):
    model = build_small()
    baselines.initialize(model, "kaiming_normal", seed=5)
    for layer in supermask_layers(model):
        layer.kernel.assign(change(layer.kernel.numpy()))
    again = rebuilt(model)
    before = [layer.kernel_initializer for layer in supermask_layers(again)]
    baselines.remember_draws(again, "kaiming_normal", seed=5)
    after = [layer.kernel_initializer for layer in supermask_layers(again)]
    assert all(one is other for one, other in zip(before, after, strict=True))
