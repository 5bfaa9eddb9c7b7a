import keras
import numpy as np
import pytest

from tfsupermask import models
from tfsupermask._validation import InputError
from tfsupermask.layers import SupermaskDense, masked_weights
from tfsupermask.sparsity import MaskWatch, realised_sparsity


def masks_of(model):
    return [weight.mask.numpy() for weight in masked_weights(model)]


def test_flipped_is_the_share_of_bits_that_differ(model):
    watch = MaskWatch(model)
    assert watch.flipped() == 0
    before = masks_of(model)
    rng = np.random.default_rng(0)
    for weight in masked_weights(model)[:3]:
        weight.score.assign(rng.normal(size=weight.score.shape))
    model.get_layer("classes").sparsity = 0.9
    pairs = zip(masks_of(model), before, strict=True)
    flips = [(new != old).sum() for new, old in pairs]
    assert min(flips[:3]) > 0
    assert watch.flipped() == sum(flips) / sum(mask.size for mask in before)
    assert watch.by_weight == {
        weight.name: count / weight.num_weights
        for weight, count in zip(masked_weights(model), flips, strict=True)
    }
    assert watch.flipped() == 0
    assert set(watch.by_weight.values()) == {0.0}


def test_realised_sparsity_counts_all_kernels(model):
    model.get_layer("separable").sparsity = (0.1, 0.9)
    model.get_layer("wide").sparsity = 0.7
    masks = masks_of(model)
    removed = sum((mask == 0).sum() for mask in masks)
    expected = removed / sum(mask.size for mask in masks)
    assert realised_sparsity(model) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("measure", [realised_sparsity, MaskWatch])
def test_a_model_without_masks_is_refused(measure):
    plain = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)], name="plain")
    with pytest.raises(InputError, match=r"supermask layers.*model='plain'"):
        measure(plain)


def test_inverted_weights_are_not_removed():
    model = models.build("conv2", (8, 8, 3), sparsity=0.7, method="signed")
    watch = MaskWatch(model)
    for weight in masked_weights(model):
        weight.score.assign(-weight.score)
    assert watch.flipped() == 0
    assert realised_sparsity(model) == pytest.approx(0.7, abs=1e-3)


def test_weights_of_the_same_name_have_paths():
    parts = [
        keras.Sequential([keras.Input((4,)), SupermaskDense(4, name="d")], name=name)
        for name in "ab"
    ]
    model = keras.Sequential([keras.Input((4,)), *parts, SupermaskDense(2, name="e")])
    watch = MaskWatch(model)
    assert watch.flipped() == 0
    parts[0].get_layer("d").sparsity = 0.0
    assert watch.flipped() == 8 / 40
    assert watch.by_weight == {"a/d/kernel": 0.5, "b/d/kernel": 0.0, "e/kernel": 0.0}
