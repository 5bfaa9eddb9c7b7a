"""PatchesInit's choices beyond the thesis, against NumPy."""

import dataclasses
import warnings

import numpy as np
import pytest

from tests.init.common import preprocess, two_masked_layers, unchanged
from tests.patches.test_linear import features_of, greedy
from tfsupermask import patches as patches_package
from tfsupermask._validation import InputError
from tfsupermask.init import PatchesInit, Variant
from tfsupermask.patches import cluster_entropy


@pytest.fixture
def watched(monkeypatch):
    """Lists with the values of each layer's patches, what was grouped, and how."""
    seen = {"values": [], "labels": [], "image": [], "points": [], "clusters": []}
    sample, cluster = patches_package.sample_patches, patches_package.cluster

    def sampling(*args, **kwargs):
        patches = sample(*args, **kwargs)
        seen["values"].append(np.concatenate(list(patches.blocks())))
        seen["labels"].append(patches.labels)
        seen["image"].append(patches.image)
        return patches

    def clustering(points, *args):
        seen["points"].append(points)
        seen["clusters"].append(cluster(points, *args))
        return seen["clusters"][-1]

    monkeypatch.setattr(patches_package, "sample_patches", sampling)
    monkeypatch.setattr(patches_package, "cluster", clustering)
    return seen


def patches_init(*args, **options):
    """PatchesInit with these options and choices."""
    fields = {field.name for field in dataclasses.fields(Variant)}
    choices = {name: options.pop(name) for name in fields & set(options)}
    return PatchesInit(*args, variant=Variant(**choices), **options)


def apply(model, small, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return patches_init(800, 20, seed=3, **options).apply(model, *small, preprocess)


def whitened(flat, covariance):
    """Rows · (covariance + 0.1 · mean variance)^(-1/2)."""
    values, vectors = np.linalg.eigh(covariance)
    gain = (values + 0.1 * np.trace(covariance) / len(covariance)) ** -0.5
    return flat @ (vectors * gain) @ vectors.T


def points_of(flat, space, num_components):
    """Inner products of what k-means groups, from all of the patches at once."""
    centred = flat - flat.mean(axis=0)
    covariance = centred.T @ centred / len(flat)
    leading = np.linalg.eigh(covariance)[1][:, -num_components:]
    if space == "whitened":
        centred = whitened(centred, covariance)
    points = centred @ leading
    if space != "raw":
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points @ points.T


def filters_of(flat, chosen, options, layer):
    """The patterns' filters by the definitions."""
    values, space = flat[chosen], options.get("filter_space", "raw")
    if space != "raw":
        values = values - flat.mean(axis=0)
    if space == "whitened":
        values = whitened(values, np.cov(flat, rowvar=False, bias=True))
    height, width, channels, filters = layer.kernel.shape
    fan = height * width * channels
    fan += height * width * filters
    values = values - values.mean(axis=1, keepdims=True)
    if options.get("signs_only"):
        values = np.sign(values)
    else:
        values = values / values.std(axis=1, keepdims=True)
    return (values * np.sqrt(2 / fan)).T.reshape(height, width, channels, -1)


def ranked(clusters, labels, flat, options, discriminative):
    """Clusters in the order in which they are chosen, by `entropy` or `size`."""
    count = len(clusters.centroids)
    sizes = clusters.sizes
    entropy = cluster_entropy(clusters, labels)
    flat_patch = flat.std(axis=1) <= 1e-5 * np.abs(flat).max()

    def rank(c):
        if options.get("select") == "size":
            return sizes[c] < 5, -sizes[c], c
        sign = 1 if discriminative else -1
        return sizes[c] < 5, sign * entropy[c], -sizes[c], c

    members = [
        np.flatnonzero((clusters.assignment == c) & ~flat_patch) for c in range(count)
    ]
    order = sorted((c for c in range(count) if len(members[c])), key=rank)
    return [members[c][clusters.distance[members[c]].argmin()] for c in order]


@pytest.mark.parametrize(
    "options",
    [
        {"cluster_space": "centred"},
        {"cluster_space": "whitened"},
        {"filter_space": "centred"},
        {"filter_space": "whitened"},
        {"cluster_space": "whitened", "filter_space": "whitened"},
        {"cluster_space": "whitened", "num_components": 40},
        {"select": "size"},
        {"signs_only": True},
        {"filter_space": "centred", "forward": "masked"},
    ],
    ids=str,
)
def test_every_choice_equals_numpy(small, watched, options):
    model = two_masked_layers()
    report = apply(model, small, **options)
    for number, done in enumerate(report.layers):
        layer = model.get_layer(done.layer)
        values = watched["values"][number]
        flat = values.reshape(len(values), -1).astype(np.float64)
        size = min(options.get("num_components", 27), flat.shape[1])
        space = options.get("cluster_space", "raw")
        expected = points_of(flat, space, size)
        points = watched["points"][number].astype(np.float64)
        tolerance = 2e-3 * np.abs(expected).max()
        np.testing.assert_allclose(points @ points.T, expected, atol=tolerance)
        chosen = ranked(
            watched["clusters"][number],
            watched["labels"][number],
            flat,
            options,
            discriminative=number == 1,
        )
        chosen = chosen[: layer.filters]
        assert len(done.image) == len(chosen)
        expected = filters_of(flat, chosen, options, layer)
        np.testing.assert_allclose(
            layer.kernel.numpy(), expected, atol=2e-3 * np.abs(expected).max()
        )
        by_entropy = options.get("select", "entropy") == "entropy"
        assert done.discriminative is (number == 1 and by_entropy)


def test_random_clusters_give_other_filters_of_the_same_clusters(small, watched):
    by_entropy, at_random = two_masked_layers(), two_masked_layers()
    apply(by_entropy, small)
    report = apply(at_random, small, select="random")
    first, _, second, _ = watched["clusters"]
    np.testing.assert_array_equal(first.assignment, second.assignment)
    kernels = [m.get_layer("first").kernel.numpy() for m in (by_entropy, at_random)]
    assert not np.array_equal(*kernels)
    again = two_masked_layers()
    assert apply(again, small, select="random").layers[0].image.tolist() == (
        report.layers[0].image.tolist()
    )


@pytest.mark.parametrize("space", ["raw", "whitened"])
def test_a_linear_classifier_selects_in_every_layer(small, watched, space):
    options = {"cluster_space": space, "select": "linear"}
    report = apply(two_masked_layers(), small, **options)
    names = "points", "clusters", "image", "labels"
    for done, *seen in zip(report.layers, *map(watched.get, names), strict=True):
        sizes, entropies = seen[1].sizes, cluster_entropy(seen[1], seen[3])
        eligible = sizes >= 5
        count = min(len(done.sizes), int(eligible.sum()))
        expected = greedy(*features_of(*seen), eligible, count)
        assert list(done.sizes[:count]) == sizes[expected].tolist()
        np.testing.assert_allclose(done.entropies[:count], entropies[expected])
        assert not done.discriminative


def test_images_without_variety_leave_the_model_unchanged(small):
    images = np.tile(small[0][:1], (40, 1, 1, 1))
    # A ramp, whose patches differ by brightness alone.
    images[:] = np.arange(16, dtype=np.uint8)[:, None, None] * 10
    model = two_masked_layers()
    with unchanged(model), pytest.raises(InputError, match="centred space"):
        patches_init(300, 10, filter_space="centred", only=["first"]).apply(
            model, images, small[1][:40]
        )
