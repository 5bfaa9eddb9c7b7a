"""PatchesInit on convolutions anywhere in a model, and on images of any kind."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.init.common import build as build_of
from tests.init.common import normalised, patch_of, preprocess
from tfsupermask._validation import InputError
from tfsupermask.init import PatchesInit, activations
from tfsupermask.layers import SupermaskDepthwiseConv2D

L = keras.layers


@pytest.fixture(autouse=True)
def same_weights():
    keras.utils.set_random_seed(0)


def small_mobilenet(**names):
    """A stem and an inverted residual block, all of it with batch normalisation."""

    def normalised(x, layer):
        return L.ReLU(6)(L.BatchNormalization()(layer(x)))

    inputs = keras.Input((16, 16, 3))
    stem = normalised(inputs, L.Conv2D(6, 3, use_bias=False, name="stem"))
    x = normalised(stem, L.Conv2D(18, 1, name="expand"))
    x = normalised(x, L.DepthwiseConv2D(3, padding="same", name="depthwise"))
    x = L.BatchNormalization()(L.Conv2D(6, 1, name="project")(x))
    x = normalised(L.Add()([x, stem]), L.Conv2D(7, 3, name="last"))
    return keras.Model(inputs, L.GlobalAveragePooling2D()(x), **names)


def build(*layers, shape=(16, 16, 3)):
    return build_of(*layers, shape=shape)


class PatchEmbedding(L.Layer):
    """What a vision transformer starts with, a convolution inside a layer."""

    def __init__(self):
        super().__init__(name="embedding")
        self.projection = L.Conv2D(12, 8, strides=8, name="projection")

    def build(self, shape):
        self.projection.build(shape)

    def call(self, images):
        maps = self.projection(images)
        return tf.reshape(maps, (-1, 4, 12))


class Subclassed(keras.Model):
    """Convolutions in a list, a dictionary, a nested model and a `tf.function`."""

    def __init__(self):
        super().__init__()
        self.blocks = [L.Conv2D(5, 3, name="same"), L.Conv2D(6, 3, name="first")]
        self.by_name = {"x": build(L.Conv2D(4, 3, name="same"), shape=(12, 12, 5))}
        self.unused = L.Conv2D(4, 3, name="unused")

    @tf.function
    def in_a_graph(self, maps):
        return self.blocks[0](maps)

    def call(self, pictures):
        maps = self.by_name["x"](self.in_a_graph(self.blocks[1](pictures)[:, :, :, :3]))
        return {"maps": maps}


class Called(keras.Model):
    """Calls convolutions `a` and `b` through a function of one's own."""

    def __init__(self, run):
        super().__init__()
        self.run = run
        self.a = L.Conv2D(4, 3, padding="same", name="a")
        self.b = L.Conv2D(5, 3, name="b")

    def call(self, images):
        return self.run(images, self.a, self.b)


def called(run):
    model = Called(run)
    model(np.zeros((1, 16, 16, 3), np.float32))
    return model


def apply(model, images, labels, **options):
    with np.errstate(all="raise"):
        return PatchesInit(600, 30, seed=1, **options).apply(
            model, images, labels, preprocess
        )


def set_variables(model, images, labels):
    """Returns the report, and which of the model's variables changed."""
    before = [variable.numpy() for variable in model.variables]
    report = apply(model, images, labels)
    pairs = zip(model.variables, before, strict=True)
    return report, [v for v, value in pairs if not np.array_equal(v, value)]


def mobilenet_in_a_sequential():
    return build(L.Rescaling(2.0), small_mobilenet(name="network"))


def same_name_twice():
    inner = keras.Sequential([L.Conv2D(4, 3, name="c")], name="inner")
    return build(L.Conv2D(3, 3, name="c"), inner)


def patch_embedding():
    return build(PatchEmbedding(), L.Dense(3))


def wrappers():
    first = L.SpectralNormalization(L.Conv2D(4, 3, name="wrapped"))
    second = L.TimeDistributed(L.Conv2D(5, 3, name="in_time"))
    return build(first, L.Reshape((1, 14, 14, 4)), second)


def depthwise():
    separable = L.SeparableConv2D(4, 3, depth_multiplier=2, name="s")
    return build(separable, SupermaskDepthwiseConv2D(3, name="masked"))


def called_twice():
    return called(lambda x, a, b: b(a(a(x)[..., :3])))


def called_backwards():
    return called(lambda x, a, b: a(b(x)[..., :3]))


@pytest.mark.parametrize(
    ("net", "names"),
    [
        (mobilenet_in_a_sequential, ["stem", "depthwise", "last"]),
        (same_name_twice, ["c", "inner/c"]),
        (patch_embedding, ["projection"]),
        (wrappers, ["wrapped", "in_time"]),
        (depthwise, ["s", "masked"]),
        (called_twice, ["a", "b"]),
        (called_backwards, ["b", "a"]),
    ],
)
def test_convolutions_are_found_wherever_they_are(small, net, names):
    report, changed = set_variables(net(), *small)
    assert [done.layer for done in report.layers] == names
    assert len(changed) == len(names)
    for variable in changed:
        assert variable.name.endswith("kernel")
        assert variable.name != "pointwise_kernel"


def test_nested_convolutions_get_the_patterns_of_flat_ones(small):
    flat = small_mobilenet()
    nested = build(L.Identity(), small_mobilenet())
    nested.set_weights(flat.get_weights())
    for model in (flat, nested):
        apply(model, *small)
    for one, other in zip(flat.get_weights(), nested.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_subclassed_model(small):
    model = Subclassed()
    model(np.zeros((1, 16, 16, 3), np.float32))
    report, changed = set_variables(model, *small)
    first, second, third = (done.layer for done in report.layers)
    assert (first, second) == ("first", "same")
    assert third.endswith("/same")
    assert report.skipped == {"unused": "not called, or only inside a loop"}
    assert len(changed) == 3
    again = apply(model, *small, only=[third])
    assert [done.layer for done in again.layers] == [third]


def test_what_is_skipped_is_printed_with_the_reason(small):
    def loop(x, a, b):
        step = {"cond": lambda x: True, "body": lambda x: (a(x)[..., :3],)}
        return b(tf.while_loop(**step, loop_vars=(x,), maximum_iterations=1)[0])

    block = keras.Sequential(
        [
            L.Conv2D(4, 1, name="point"),
            L.Conv2D(8, 3, name="first"),
            L.Conv2D(8, 3, groups=2, name="grouped"),
            L.Conv2DTranspose(3, 3, name="transpose"),
            L.Reshape((14 * 14, 3)),
            L.Conv1D(3, 3, name="line"),
        ]
    )
    report = apply(build(block), *small)
    assert report.skipped == {
        "point": "1x1 convolution",
        "grouped": "grouped convolution",
        "transpose": "transposed convolution",
        "line": "not a convolution of two dimensions",
    }
    assert [
        line.split("  left as it was: ") for line in str(report).splitlines()[-4:]
    ] == [[name.ljust(9), why] for name, why in report.skipped.items()]
    looping = called(loop)
    assert "inside a loop" in apply(looping, *small).skipped["a"]


def test_a_layer_that_merges_images_is_named(small):
    model = called(lambda x, a, b: b(tf.reshape(a(x), (-1, 8, 16, 4))))
    with pytest.raises(InputError, match="'b' must receive one map for each"):
        apply(model, *small)
    assert [done.layer for done in apply(model, *small, only=["a"]).layers] == ["a"]


def bands(images):
    rng = np.random.default_rng(0)
    return np.rint(images @ rng.dirichlet(np.ones(3), 13).T).astype(np.uint8)


def halves(images):
    return np.stack([images, 255 - images], axis=1)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x[..., :1],
        lambda x: x[..., 0],
        lambda x: np.concatenate([x, x[..., :1]], axis=-1),
        bands,
        lambda x: np.float32(x) / 255,
        lambda x: x.astype(np.uint16) * 200,
        halves,
    ],
    ids=["grey", "no channels", "RGBA", "13 bands", "float", "uint16", "video"],
)
def test_first_filters_are_patches_of_all_channels(small, change):
    images = change(small[0])
    shape = images.shape[1:]
    if len(shape) == 4:
        layers = [L.TimeDistributed(L.Conv2D(6, 3))]
    else:
        layers = [L.Reshape((*shape[:2], -1)), L.Conv2D(6, 3)]
    model = build(*layers, shape=shape)
    (done,) = apply(model, images, small[1]).layers
    (kernel,) = (v.numpy() for v in model.variables if v.name == "kernel")
    maps = preprocess(images[:, 0] if len(shape) == 4 else images)
    maps = maps.reshape(*maps.shape[:3], -1)
    scale = math.sqrt(2 / (9 * maps.shape[-1] + 9 * 6))
    for i, place in enumerate(zip(done.image, done.row, done.column, strict=True)):
        image, row, column = place
        crop = maps[image, row : row + 3, column : column + 3].astype(np.float64)
        np.testing.assert_allclose(kernel[..., i], normalised(crop) * scale, atol=1e-5)


def test_a_patch_embedding_is_made_of_whole_patches(small):
    images = small[0].repeat(2, axis=1).repeat(2, axis=2)
    model = build(
        L.Conv2D(6, 8, strides=8), L.Conv2D(5, 4, strides=4), shape=(32,) * 2 + (3,)
    )
    first, second = PatchesInit(120, 30, seed=1).apply(model, images, small[1]).layers
    assert model.layers[0].kernel.shape == (8, 8, 3, 6)
    assert (second.row == 0).all()
    assert first.num_patches == second.num_patches == 120


def test_depthwise_filters_are_patches_of_one_channel(small):
    images, labels = small
    layer = L.DepthwiseConv2D(3, depth_multiplier=2)
    (done,) = apply(build(layer), images, labels).layers
    filters = layer.kernel.numpy().reshape(9, 6).T
    assert len(done.image) == 6
    for i, found in enumerate(filters):
        channels = patch_of(images, done, i).reshape(9, 3).T
        expected = normalised(channels, axis=1) * math.sqrt(2 / (9 + 54))
        assert np.abs(expected - found).max(axis=1).min() < 1e-5


def test_the_best_patterns_serve_several_channels(small):
    def net():
        return build(L.Conv2D(8, 3), L.DepthwiseConv2D(3, depth_multiplier=7))

    model = net()
    (_, done) = PatchesInit(200, 9).apply(model, *small, preprocess).layers
    kinds = int((np.unique(done.sizes) >= 5).sum())
    assert len(done.sizes) == 56
    assert (done.sizes >= 5).all()
    assert kinds <= len(set(zip(done.image, done.row, done.column, strict=True))) <= 9
    (_, simple) = PatchesInit(200, None).apply(net(), *small, preprocess).layers
    assert len(set(zip(simple.image, simple.row, simple.column, strict=True))) > 9


def test_channels_are_drawn_by_the_seed(small):
    maps = np.arange(40 * 5).reshape(40, 1, 1, 5).astype(np.float32)
    draw = activations.one_channel_each(lambda chosen: maps[chosen], seed=3)
    every = draw(np.arange(40))
    assert every.shape == (40, 1, 1, 1)
    assert len(np.unique(every % 5)) == 5
    np.testing.assert_array_equal(draw(np.array([7, 2])), every[[7, 2]])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_in_an_image_or_two_does_no_harm(small, value):
    images = small[0] / np.float32(255)
    images[::2, 4:6] = value
    model = build(L.Conv2D(6, 3), L.Conv2D(5, 3))
    with pytest.warns(UserWarning, match=r"'conv2d\w*': 57 of 600 patches were"):
        first, _ = apply(model, images, small[1]).layers
    assert first.num_patches < 600
    assert np.isfinite(model.get_weights()[0]).all()
    assert np.isfinite(model.get_weights()[2]).all()


@pytest.mark.parametrize(
    ("value", "between"),
    [
        (np.nan, [L.BatchNormalization]),
        (np.inf, [L.BatchNormalization]),
        (-np.inf, [L.ReLU, L.BatchNormalization]),
        (3e38, []),
        (1e12, []),
    ],
)
@pytest.mark.filterwarnings("ignore:Layer")
def test_one_huge_activation_leaves_the_other_images_alone(small, value, between):
    images = small[0] / np.float32(255)
    images[3, 8, 8, 0] = value
    model = build(L.Conv2D(6, 3), *(kind() for kind in between), L.Conv2D(5, 3))
    for layer in apply(model, images, small[1]).layers:
        assert layer.num_patches > 400
        assert 3 not in layer.image
    assert all(np.isfinite(weights).all() for weights in model.get_weights())


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e19, 1e30])
def test_images_of_any_scale_have_the_same_patterns(small, scale):
    def places(images):
        model = build(L.Conv2D(6, 3, activation="relu"), L.Conv2D(5, 3))
        reports = PatchesInit(600, 30).apply(model, images, small[1]).layers
        places = [np.c_[each.image, each.row, each.column] for each in reports]
        return places, model.get_weights()

    images = np.float32(small[0]) / 255
    (expected, kernels), (found, scaled) = places(images), places(images * scale)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(scaled, kernels, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
