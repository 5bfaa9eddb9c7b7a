"""PatchesInit through graphs: residual adds, batch normalisation, some layers only."""

import keras
import numpy as np
import pytest

from tests.init.common import changed_in, preprocess, residual_net, unchanged, values_of
from tfsupermask import patches as patches_package
from tfsupermask._validation import InputError
from tfsupermask.init import PatchesInit
from tfsupermask.layers import supermask_layers
from tfsupermask.ops import derive_seed
from tfsupermask.patches import class_balanced_order


def test_sets_all_but_shortcuts_and_leaves_statistics_alone(small):
    model = residual_net()
    before = values_of(model)
    report = PatchesInit(600, 20, seed=1).apply(model, *small, preprocess)
    assert [layer.layer for layer in report.layers] == ["stem", "a1", "a2", "b1", "b2"]
    assert report.skipped == {"shortcut": "1x1 convolution"}
    kernels = {f"{layer.layer}/kernel" for layer in report.layers}
    assert changed_in(model, before) == kernels


def normalised(maps):
    return (maps - maps.mean((0, 1, 2))) / np.sqrt(maps.var((0, 1, 2)) + 1e-5)


def plain_conv(x, kernel, strides=1):
    return np.array(keras.ops.conv(x, kernel, strides=strides, padding="same"))


def test_each_convolution_sees_what_it_really_receives(small, monkeypatch):
    """Recomputes the input of `b1` by hand, in dense form, with batch statistics."""
    images, _ = small
    seen = []
    original = patches_package.sample_patches

    def spy(source, *args):
        seen.append(source.maps_of)
        return original(source, *args)

    monkeypatch.setattr(patches_package, "sample_patches", spy)
    maps, survey, model = {}, patches_package.survey, residual_net()

    def keep_maps(blocks):
        maps[len(seen)] = seen[-1](np.arange(len(images)))
        return survey(blocks)

    monkeypatch.setattr(patches_package, "survey", keep_maps)
    PatchesInit(600, 20, seed=1).apply(model, *small, preprocess)
    kernel = {layer: model.get_layer(layer).kernel.numpy() for layer in (
        "stem", "a1", "a2", "shortcut")}  # fmt: skip
    x = preprocess(images)
    stem = np.maximum(normalised(plain_conv(x, kernel["stem"])), 0)
    a = np.maximum(normalised(plain_conv(stem, kernel["a1"], 2)), 0)
    a = normalised(plain_conv(a, kernel["a2"]))
    shortcut = normalised(plain_conv(stem, kernel["shortcut"], 2))
    expected = np.maximum(a + shortcut, 0)
    np.testing.assert_allclose(maps[4], expected, rtol=1e-3, atol=1e-3)


def test_statistics_come_from_the_first_images_drawn(small, monkeypatch):
    images, labels = small
    monkeypatch.setattr("tfsupermask.init.patches_init._STATISTICS_IMAGES", 30)
    model = residual_net()
    means = {}
    stem_bn = model.get_layer("stem_bn")

    def spy(blocks, survey=patches_package.survey):
        means[len(means)] = stem_bn.moving_mean.numpy()
        return survey(blocks)

    monkeypatch.setattr(patches_package, "survey", spy)
    PatchesInit(600, 20, seed=1).apply(model, *small, preprocess)
    order = class_balanced_order(labels, derive_seed(1, "images"))[:30]
    stem = plain_conv(preprocess(images[order]), model.get_layer("stem").kernel.numpy())
    np.testing.assert_array_equal(means[0], 0)
    np.testing.assert_allclose(means[1], stem.mean((0, 1, 2)), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(stem_bn.moving_mean.numpy(), 0)


def test_everything_is_given_back_after_an_interruption(small, monkeypatch):
    model = residual_net()

    def fail_in_the_third(*args, calls=[], **kwargs):  # noqa: B006
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return patches_package.clustering.cluster(*args, **kwargs)

    monkeypatch.setattr(patches_package, "cluster", fail_in_the_third)
    with unchanged(model), pytest.raises(KeyboardInterrupt):
        PatchesInit(600, 20).apply(model, *small, preprocess)
    assert {layer.sparsity for layer in supermask_layers(model)} == {0.5}


def test_a_part_gets_the_patterns_of_the_whole_and_the_rest_its_baseline(small):
    whole, part, untouched = residual_net(), residual_net(), residual_net()
    PatchesInit(600, 20, seed=1).apply(whole, *small, preprocess)
    report = PatchesInit(600, 20, seed=1, only=["stem", "a1"]).apply(
        part, *small, preprocess
    )
    assert [layer.layer for layer in report.layers] == ["stem", "a1"]
    assert not any(layer.discriminative for layer in report.layers)
    assert set(report.skipped) == {"shortcut", "a2", "b1", "b2"}
    for path, value in values_of(part).items():
        source = whole if path in ("stem/kernel", "a1/kernel") else untouched
        np.testing.assert_array_equal(value, values_of(source)[path], err_msg=path)


@pytest.mark.parametrize("only", [[], ["shortcut"], ["stem", "c9"]])
def test_refuses_names_that_are_no_convolutions_to_set(small, only):
    with pytest.raises(InputError, match="`only` must name some of"):
        PatchesInit(600, 20, only=only).apply(residual_net(), *small, preprocess)
