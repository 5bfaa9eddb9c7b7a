"""PatchesInit through graphs: residual adds, batch normalisation, some layers only."""

import keras
import numpy as np
import pytest

from tfsupermask import data, models
from tfsupermask import patches as patches_package
from tfsupermask._validation import InputError
from tfsupermask.init import PatchesInit
from tfsupermask.layers import SupermaskConv2D
from tfsupermask.ops import derive_seed
from tfsupermask.patches import class_balanced_order


@pytest.fixture(scope="module")
def digits():
    split = data.load("digits").train
    return split.images[:120, ::2, ::2].copy(), split.labels[:120]


def preprocess(images):
    return ((images / 255 - 0.4) / 0.25).astype(np.float32)


def residual_net():
    """Stem, a unit with a 1×1 shortcut, a unit with an identity, a dense layer."""
    keras.utils.set_random_seed(0)

    def convolution(x, filters, size, name, strides=1):
        x = SupermaskConv2D(
            filters, size, strides=strides, padding="same", name=name, sparsity=0.5
        )(x)
        return keras.layers.BatchNormalization(
            center=False, scale=False, epsilon=1e-5, name=f"{name}_bn"
        )(x)

    inputs = keras.Input((16, 16, 3))
    stem = keras.layers.ReLU()(convolution(inputs, 6, 3, "stem"))
    x = keras.layers.ReLU()(convolution(stem, 8, 3, "a1", strides=2))
    x = convolution(x, 8, 3, "a2")
    shortcut = convolution(stem, 8, 1, "shortcut", strides=2)
    first = keras.layers.ReLU()(keras.layers.Add()([x, shortcut]))
    x = keras.layers.ReLU()(convolution(first, 8, 3, "b1"))
    x = convolution(x, 8, 3, "b2")
    x = keras.layers.ReLU()(keras.layers.Add()([x, first]))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(10, name="dense")(x))


def weights(model):
    return {v.path: v.numpy() for v in model.variables}


def test_sets_all_but_shortcuts_and_leaves_statistics_alone(digits):
    model = residual_net()
    before = weights(model)
    report = PatchesInit(600, 20, seed=1).apply(model, *digits, preprocess)
    assert [layer.layer for layer in report.layers] == ["stem", "a1", "a2", "b1", "b2"]
    assert report.skipped == {"shortcut": "1x1 convolution"}
    changed = {
        path
        for path, v in weights(model).items()
        if not np.array_equal(v, before[path])
    }
    assert changed == {f"{layer.layer}/kernel" for layer in report.layers}


def normalised(maps):
    return (maps - maps.mean((0, 1, 2))) / np.sqrt(maps.var((0, 1, 2)) + 1e-5)


def plain_conv(x, kernel, strides=1):
    return np.array(keras.ops.conv(x, kernel, strides=strides, padding="same"))


def test_each_convolution_sees_what_it_really_receives(digits, monkeypatch):
    """Recomputes the input of `b1` by hand, in dense form, with batch statistics."""
    images, _ = digits
    seen = []
    original = patches_package.sample_patches

    def spy(*args, activations, **kwargs):
        seen.append(activations)
        return original(*args, activations=activations, **kwargs)

    monkeypatch.setattr(patches_package, "sample_patches", spy)
    maps = {}

    model = residual_net()
    monkeypatch.setattr(
        patches_package,
        "survey",
        lambda blocks, survey=patches_package.survey: (
            maps.update({len(seen): seen[-1](np.arange(len(images)))}),
            survey(blocks),
        )[1],
    )
    PatchesInit(600, 20, seed=1).apply(model, *digits, preprocess)
    kernel = {layer: model.get_layer(layer).kernel.numpy() for layer in (
        "stem", "a1", "a2", "shortcut")}  # fmt: skip
    x = preprocess(images)
    stem = np.maximum(normalised(plain_conv(x, kernel["stem"])), 0)
    a = np.maximum(normalised(plain_conv(stem, kernel["a1"], 2)), 0)
    a = normalised(plain_conv(a, kernel["a2"]))
    shortcut = normalised(plain_conv(stem, kernel["shortcut"], 2))
    expected = np.maximum(a + shortcut, 0)
    np.testing.assert_allclose(maps[4], expected, rtol=1e-3, atol=1e-3)


def test_statistics_come_from_the_first_images_drawn(digits, monkeypatch):
    images, labels = digits
    monkeypatch.setattr("tfsupermask.init.patches_init._STATISTICS_IMAGES", 30)
    model = residual_net()
    means = {}
    stem_bn = model.get_layer("stem_bn")

    def spy(blocks, survey=patches_package.survey):
        means[len(means)] = stem_bn.moving_mean.numpy()
        return survey(blocks)

    monkeypatch.setattr(patches_package, "survey", spy)
    PatchesInit(600, 20, seed=1).apply(model, *digits, preprocess)
    order = class_balanced_order(labels, derive_seed(1, "images"))[:30]
    stem = plain_conv(preprocess(images[order]), model.get_layer("stem").kernel.numpy())
    np.testing.assert_array_equal(means[0], 0)
    np.testing.assert_allclose(means[1], stem.mean((0, 1, 2)), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(stem_bn.moving_mean.numpy(), 0)


def test_statistics_are_given_back_after_a_failure(digits, monkeypatch):
    model = residual_net()
    before = weights(model)

    def fail_in_the_third(*args, calls=[], **kwargs):  # noqa: B006
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("out of luck")
        return patches_package.clustering.cluster(*args, **kwargs)

    monkeypatch.setattr(patches_package, "cluster", fail_in_the_third)
    with pytest.raises(RuntimeError, match="out of luck"):
        PatchesInit(600, 20).apply(model, *digits, preprocess)
    for path, value in weights(model).items():
        np.testing.assert_array_equal(value, before[path])


def test_a_part_gets_the_patterns_of_the_whole_and_the_rest_its_baseline(digits):
    whole, part, untouched = residual_net(), residual_net(), residual_net()
    PatchesInit(600, 20, seed=1).apply(whole, *digits, preprocess)
    report = PatchesInit(600, 20, seed=1, only=["stem", "a1"]).apply(
        part, *digits, preprocess
    )
    assert [layer.layer for layer in report.layers] == ["stem", "a1"]
    assert not any(layer.discriminative for layer in report.layers)
    assert set(report.skipped) == {"shortcut", "a2", "b1", "b2"}
    for path, value in weights(part).items():
        source = whole if path in ("stem/kernel", "a1/kernel") else untouched
        np.testing.assert_array_equal(value, weights(source)[path], err_msg=path)


@pytest.mark.parametrize("only", [[], ["shortcut"], ["stem", "c9"]])
def test_refuses_names_that_are_no_convolutions_to_set(digits, only):
    with pytest.raises(InputError, match="`only` must name some of"):
        PatchesInit(600, 20, only=only).apply(residual_net(), *digits, preprocess)


class Interrupt(BaseException):
    pass


@pytest.mark.parametrize("layers_done", [0, 1, 3])
def test_interrupted_goes_on_at_the_layer_it_was_in(
    digits, monkeypatch, tmp_path, layers_done
):
    whole = residual_net()
    expected = PatchesInit(600, 20, seed=1).apply(whole, *digits, preprocess)

    calls = []

    def cluster(*args, interrupt, **kwargs):
        if interrupt and len(calls) == layers_done:
            raise Interrupt
        calls.append(1)
        return patches_package.clustering.cluster(*args, **kwargs)

    def apply(model, interrupt):
        monkeypatch.setattr(
            patches_package,
            "cluster",
            lambda *args: cluster(*args, interrupt=interrupt),
        )
        return PatchesInit(600, 20, seed=1).apply(
            model, *digits, preprocess, progress_dir=tmp_path / "progress"
        )

    with pytest.raises(Interrupt):
        apply(residual_net(), interrupt=True)
    resumed = residual_net()
    report = apply(resumed, interrupt=False)
    assert len(calls) == 5
    for path, value in weights(resumed).items():
        np.testing.assert_array_equal(value, weights(whole)[path], err_msg=path)
    for mine, theirs in zip(report.layers, expected.layers, strict=True):
        assert mine.mean_entropy == theirs.mean_entropy
        for name in ("image", "row", "column", "sizes"):
            np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name))


@pytest.mark.parametrize("damage", ["other seed", "torn"])
def test_layers_of_another_run_or_torn_files_do_not_count(digits, tmp_path, damage):
    whole = residual_net()
    PatchesInit(600, 20, seed=1).apply(whole, *digits, preprocess)
    other = 2 if damage == "other seed" else 1
    PatchesInit(600, 20, seed=other).apply(
        residual_net(), *digits, preprocess, progress_dir=tmp_path
    )
    if damage == "torn":
        for path in tmp_path.iterdir():
            path.write_bytes(path.read_bytes()[:700])
    model = residual_net()
    PatchesInit(600, 20, seed=1).apply(
        model, *digits, preprocess, progress_dir=tmp_path
    )
    for path, value in weights(model).items():
        np.testing.assert_array_equal(value, weights(whole)[path], err_msg=path)


def test_first_block_of_resnet18(digits):
    images, labels = digits
    model = models.build("resnet18", (16, 16, 3), seed=3)
    baseline = weights(model)
    names = models.convolution_blocks(model)[0]
    report = PatchesInit(800, 80, seed=3, only=names).apply(model, images, labels)
    assert [layer.layer for layer in report.layers] == names
    assert len(names) == 5
    changed = {
        path
        for path, v in weights(model).items()
        if not np.array_equal(v, baseline[path])
    }
    assert changed == {f"{name}/kernel" for name in names}
