import numpy as np
import pytest

from tfsupermask import models
from tfsupermask.layers import masked_weights
from tfsupermask.report.masks import agreement, mask_statistics, same_architecture


def weights(sparsity, seed, name="conv2", **options):
    model = models.build(name, (8, 8, 3), sparsity=sparsity, seed=seed, **options)
    return masked_weights(model)


def facts(*args):
    return tuple(mask_statistics(each, each.name) for each in weights(*args))


@pytest.mark.parametrize("method", ["edge_popup", "signed"])
def test_facts_are_those_of_scores_and_mask(rng, method):
    for weight in weights(0.7, 0, method=method):
        weight.score.assign(rng.normal(0.1, 1, weight.score.shape))
        mask = mask_statistics(weight, weight.name)
        # Inverted weights, with a mask of -1, count as kept.
        scores, bits = weight.score.numpy(), weight.mask.numpy() != 0
        assert (weight.mask.numpy() < 0).any() == (method == "signed")
        assert (mask.name, mask.shape) == (weight.name, scores.shape)
        assert (mask.num_kept, mask.num_weights) == (bits.sum(), bits.size)
        assert mask.kept == bits.mean()
        unpacked = np.unpackbits(mask.bits, count=bits.size).astype(bool)
        np.testing.assert_array_equal(unpacked, bits.ravel())
        assert mask.trained == "Scores"
        assert mask.mean == pytest.approx(scores.mean(), abs=1e-5)
        assert mask.std == pytest.approx(scores.std(), rel=1e-5)
        assert mask.range == (scores.min(), scores.max())


@pytest.mark.parametrize("method", ["magnitude", "dense", "fixed"])
def test_facts_of_trained_weights_are_those_of_the_kernel(method):
    for weight in weights(0.7, 0, method=method):
        mask, kernel = mask_statistics(weight, weight.name), weight.kernel.numpy()
        keeps = weight.mask.numpy() != 0
        assert (mask.trained, mask.num_kept) == ("Weights", keeps.sum())
        assert mask.range == (kernel.min(), kernel.max())
        assert mask.histogram[0].sum() == kernel.size
        assert mask.histogram[1].sum() == keeps.sum()
        if method == "magnitude":  # which keeps nothing near zero
            assert mask.histogram[1, 20] == 0 < mask.histogram[0, 20]


def test_histograms_count_all_and_kept(rng):
    weight = weights(0.7, 0)[0]
    weight.score.assign(rng.normal(size=weight.score.shape))
    counts, kept = mask_statistics(weight, weight.name).histogram
    scores, bits = weight.score.numpy(), weight.mask.numpy() == 1
    low, high = scores.mean() - 3 * scores.std(), scores.mean() + 3 * scores.std()
    edges = np.linspace(low, high, 41)
    edges[[0, -1]] = -np.inf, np.inf
    for bin in (0, 5, 20, 38, 39):
        inside = (scores >= edges[bin]) & (scores < edges[bin + 1])
        assert counts[bin] == inside.sum()
        assert kept[bin] == (inside & bits).sum()
    assert counts[0] > 0
    assert (counts.sum(), kept.sum()) == (bits.size, bits.sum())
    weight.score.assign(np.zeros(weight.score.shape))
    assert mask_statistics(weight, weight.name).histogram.sum(axis=1).tolist() == [
        1728,
        weight.num_kept,
    ]


def test_agreement_counts_equal_bits():
    arguments = ((0.5, 0), (0.7, 1))
    masks = [
        np.concatenate([w.mask.numpy().ravel() for w in weights(*args)])
        for args in arguments
    ]
    a, b = (facts(*args) for args in arguments)
    found = agreement(a, b)
    assert found.measured == pytest.approx(np.mean(masks[0] == masks[1]), abs=1e-12)
    assert found.chance == pytest.approx(0.5, abs=1e-4)
    assert abs(found.measured - found.chance) < 0.02
    assert agreement(a, a).measured == 1
    # By chance: both keep, or both remove.
    sparser = agreement(facts(0.9, 0), facts(0.8, 1))
    assert sparser.chance == pytest.approx(0.9 * 0.8 + 0.1 * 0.2, abs=1e-3)


def test_architectures_are_known_by_names_and_shapes():
    one = facts(0.5, 0)
    assert same_architecture(one, facts(0.9, 1))
    assert not same_architecture(one, facts(0.5, 0, "conv4"))
    assert not same_architecture(one, one[:-1])
