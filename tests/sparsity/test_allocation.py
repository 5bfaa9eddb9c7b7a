import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfsupermask import models
from tfsupermask._validation import InputError
from tfsupermask.layers import SupermaskDense, masked_weights, supermask
from tfsupermask.ops import num_kept
from tfsupermask.sparsity import ALLOCATIONS, allocate, realised_sparsity
from tfsupermask.sparsity.allocation import erdos_renyi_counts, global_counts

CONV2 = [(3, 3, 3, 64), (3, 3, 64, 64), (16384, 256), (256, 256), (256, 10)]
SPARSITIES = (0.0, 0.3, 0.5, 0.9, 0.95, 0.999)


def counts_of(model):
    return [weight.num_kept for weight in masked_weights(model)]


def naive_erdos_renyi(shapes, sparsity):
    """Real-valued counts: whole kernels are set aside until no density exceeds 1."""
    sizes = [math.prod(shape) for shape in shapes]
    total = num_kept(sum(sizes), sparsity)
    whole = set()
    while True:
        rest = [i for i in range(len(shapes)) if i not in whole]
        left = total - sum(sizes[i] for i in whole)
        unit = left / sum(sum(shapes[i]) for i in rest) if rest else 0
        densities = {i: unit * sum(shapes[i]) / sizes[i] for i in rest}
        too_dense = {i for i in rest if densities[i] > 1 + 1e-12}
        if not too_dense:
            return [
                float(sizes[i]) if i in whole else densities[i] * sizes[i]
                for i in range(len(shapes))
            ]
        whole |= too_dense


def naive_global(ranked, sparsity):
    """Sorts everything: the best of each kernel first, then by value, then by place."""
    sizes = [np.size(values) for values in ranked]
    kernel = np.repeat(np.arange(len(sizes)), sizes)
    values = np.concatenate([np.ravel(values) for values in ranked])
    order = np.argsort(-values, kind="stable")  # NaN last
    _, best = np.unique(kernel[order], return_index=True)
    order = np.concatenate([order[best], np.delete(order, best)])
    mask = np.zeros(len(values))
    mask[order[: max(len(sizes), num_kept(len(values), sparsity))]] = 1
    return np.split(mask, np.cumsum(sizes)[:-1])


def ranked(weights, sign=np.abs):
    """What one ranking of all scores compares."""
    return [
        sign(weight.score.numpy().astype("float64")) * np.sqrt(weight.fans[0])
        for weight in weights
    ]


@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_erdos_renyi_matches_the_iterative_definition(sparsity):
    check_erdos_renyi(CONV2, sparsity)


def check_erdos_renyi(shapes, sparsity):
    counts, sizes = erdos_renyi_counts(shapes, sparsity), [*map(math.prod, shapes)]
    assert sum(counts) == max(len(shapes), num_kept(sum(sizes), sparsity))
    assert all(1 <= c <= n for c, n in zip(counts, sizes, strict=True))
    exact = naive_erdos_renyi(shapes, sparsity)
    if min(exact) >= 1:
        assert all(abs(c - e) < 1 for c, e in zip(counts, exact, strict=True))
        rows = zip(counts, sizes, exact, strict=True)
        assert all(c == n for c, n, e in rows if n == e)


def test_erdos_renyi_on_many_random_shapes():
    rng = np.random.default_rng(0)
    for _ in range(200):
        shapes = [
            tuple(rng.integers(1, 40, rng.integers(1, 5)).tolist())
            for _ in range(rng.integers(1, 9))
        ]
        sparsity = float(rng.choice([0.0, rng.random(), rng.random() ** 0.1]))
        check_erdos_renyi(shapes, min(sparsity, 0.9999))


@pytest.mark.parametrize(
    ("shapes", "sparsity", "expected"),
    [
        # 10 weights kept, shares 2.5, 2.5, 5: the first of equals is rounded up.
        ([(10, 10), (10, 10), (20, 20)], 1 - 10 / 600, (3, 2, 5)),
        # 60 of 110: by shape 7 : 20 would give 15.6 of 10, so that one stays whole.
        ([(2, 5), (10, 10)], 50 / 110, (10, 50)),
        ([(1,), (1,), (1,)], 0.9, (1, 1, 1)),
        # A number, 5 of 11 kept.
        ([(), (2, 5)], 0.5, (1, 4)),
        # 2 of 1002, one for each; shares 2 · 2/1003 and 2 · 1001/1003 would leave none.
        ([(1, 1, 1, 2), (1000,)], 1 - 2 / 1002, (1, 1)),
    ],
)
def test_erdos_renyi_by_hand(shapes, sparsity, expected):
    assert erdos_renyi_counts(shapes, sparsity) == expected


@pytest.mark.parametrize("sparsity", SPARSITIES)
@pytest.mark.parametrize("kind", ["distinct", "ties", "extremes", "nan"])
def test_global_counts_match_a_sort_of_everything(sparsity, kind):
    rng = np.random.default_rng(1)
    scales = (0.01, 1.0, 5.0, 0.5)
    kernels = [rng.normal(scale=s, size=(7, 5, 3)) for s in scales]
    if kind == "ties":
        kernels = [np.round(values) for values in kernels]
    if kind in ("extremes", "nan"):
        for values in kernels:
            values.flat[rng.integers(0, values.size, 60)] = -np.inf
            values.flat[rng.integers(0, values.size, 9)] = np.inf
    if kind == "nan":
        kernels[0].flat[::3] = np.nan
        kernels[2].flat[1:] = np.nan
        kernels[3][:] = np.nan
    expected = [int(mask.sum()) for mask in naive_global(kernels, sparsity)]
    assert list(global_counts(kernels, sparsity)) == expected


@pytest.mark.parametrize("values", ["tied", "close"])
@pytest.mark.parametrize("method", ["edge_popup", "edge_popup_by_score"])
def test_global_masks_are_one_ranking_over_all_layers(method, values):
    model = models.build("conv2", (8, 8, 3), method=method)
    weights = masked_weights(model)
    rng = np.random.default_rng(2)
    for weight in weights:
        score = rng.uniform(-1, 1, weight.score.shape)
        score = np.sign(score) + 1e-6 * score if values == "close" else score
        score /= np.sqrt(weight.fans[0])
        weight.score.assign(np.round(score, 2) if values == "tied" else score)
    allocate(model, 0.8, "global")
    masks = naive_global(
        ranked(weights, np.abs if method == "edge_popup" else np.positive), 0.8
    )
    for weight, expected in zip(weights, masks, strict=True):
        np.testing.assert_array_equal(weight.mask.numpy().ravel(), expected)


@pytest.mark.parametrize("method", ["magnitude", "magnitude_straight_through"])
def test_global_magnitude_ranks_the_weights_as_they_are(method):
    """Without a factor for the layer's size, as in the literature."""
    model = models.build("conv2", (8, 8, 3), method=method)
    weights = masked_weights(model)
    rng = np.random.default_rng(2)
    for weight in weights:
        weight.kernel.assign(rng.normal(size=weight.kernel.shape))
    allocate(model, 0.8, "global")
    kernels = [np.abs(weight.kernel.numpy()).astype("float64") for weight in weights]
    for weight, expected in zip(weights, naive_global(kernels, 0.8), strict=True):
        np.testing.assert_array_equal(weight.mask.numpy().ravel(), expected)
    # Drawn alike, all layers keep the same share.
    shares = [weight.num_kept / weight.num_weights for weight in weights]
    np.testing.assert_allclose(shares, 0.2, atol=0.03)


@pytest.mark.parametrize("method", ["dense", "fixed"])
@pytest.mark.parametrize("allocation", ALLOCATIONS)
def test_refuses_a_method_that_takes_no_sparsity(method, allocation):
    model = models.build("conv2", (8, 8, 3), method=method)
    before = counts_of(model)
    with pytest.raises(InputError, match=f"conv1/kernel.*up to the method '{method}'"):
        allocate(model, 0.9, allocation)
    assert counts_of(model) == before


@pytest.mark.parametrize("allocation", ALLOCATIONS)
def test_the_whole_model_has_the_sparsity(model, allocation):
    weights = masked_weights(model)
    total = sum(weight.num_weights for weight in weights)
    for sparsity in (0.0, 0.5, 0.9):
        allocate(model, sparsity, allocation)
        if allocation == "uniform":
            assert {weight.sparsity for weight in weights} == {sparsity}
        else:
            assert sum(counts_of(model)) == num_kept(total, sparsity)
        if allocation == "erdos_renyi":
            shapes = [tuple(weight.kernel.shape) for weight in weights]
            assert counts_of(model) == list(erdos_renyi_counts(shapes, sparsity))
        assert realised_sparsity(model) == pytest.approx(sparsity, abs=5 / total)
        for weight in weights:
            assert weight.mask.numpy().sum() == weight.num_kept


@pytest.mark.parametrize("allocation", ALLOCATIONS)
@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("pattern", ["conv", "[cs]*"])
def test_the_layers_that_are_not_whole_share_the_sparsity(
    model, allocation, sparsity, pattern
):
    allocate(model, {pattern: 0, "*": sparsity}, allocation)
    weights = masked_weights(model)
    whole = weights[:1] if pattern == "conv" else [*weights[:3], weights[-1]]
    rest = [weight for weight in weights if weight not in whole]
    for weight in whole:
        assert np.all(weight.mask.numpy() == 1), weight.name
    if allocation == "uniform":
        assert {weight.sparsity for weight in rest} == {sparsity}
        expected = [num_kept(weight.num_weights, sparsity) for weight in rest]
    elif allocation == "erdos_renyi":
        shapes = [tuple(weight.kernel.shape) for weight in rest]
        expected = list(erdos_renyi_counts(shapes, sparsity))
    else:
        expected = [mask.sum() for mask in naive_global(ranked(rest), sparsity)]
    assert [weight.num_kept for weight in rest] == expected
    sizes = sum(weight.num_weights for weight in rest)
    if allocation != "uniform":
        assert sum(expected) == num_kept(sizes, sparsity)
    assert {weight.layer.sparsity for weight in whole} == {0.0}


@pytest.mark.parametrize(
    ("sparsity", "expected"),
    [
        # The first match counts; without one, a layer stays at 0.5.
        ({"w*": 0.75, "*e": 0.0}, {"wide": 0.75, "separable": 0.0}),
        ({"*e": 0.0, "w*": 0.75}, {"wide": 0.0, "separable": 0.0}),
        ({"conv": 0.25}, {"conv": 0.25}),
        ({}, {}),
        (lambda layer: None if layer.name == "wide" else 0.25, "all but wide"),
    ],
)
def test_sparsity_by_patterns_and_by_a_function(model, sparsity, expected):
    if expected == "all but wide":
        expected = dict.fromkeys(("conv", "separable", "classes"), 0.25)
    allocate(model, 0.5)
    allocate(model, sparsity)
    for weight in masked_weights(model):
        assert weight.sparsity == expected.get(weight.layer.name, 0.5)


def test_layers_with_the_same_sparsity_share_it_in_one_ranking(model):
    allocate(model, {"conv": 0.8, "wide": 0.8, "*": 0.3}, "global")
    weights = masked_weights(model)
    for names in ({"conv", "wide"}, {"separable", "classes"}):
        group = [weight for weight in weights if weight.layer.name in names]
        masks = naive_global(ranked(group), 0.8 if "wide" in names else 0.3)
        assert [weight.num_kept for weight in group] == [mask.sum() for mask in masks]


def test_layers_in_models_and_in_layers_match_by_the_names_around_them(model):
    inputs = keras.Input((6, 6, 2))
    outer = keras.Model(inputs, SupermaskDense(2, name="head")(model(inputs)))
    model.name = "inside"
    allocate(outer, {"inside": 0.0, "*": 0.75})
    names = {weight.name: weight.sparsity for weight in masked_weights(outer)}
    assert names.pop("head/kernel") == 0.75
    assert set(names.values()) == {0.0}

    attention = supermask(keras.layers.MultiHeadAttention(2, 3, name="attention"))
    tokens = keras.Input((4, 6))
    model = keras.Model(tokens, attention(tokens, tokens))
    allocate(model, {"query": 0.0, "attention": 0.75})
    found = {weight.name.split("/")[1]: weight for weight in masked_weights(model)}
    assert found.pop("query").sparsity == 0.0
    assert {weight.sparsity for weight in found.values()} == {0.75}


def test_compiled_functions_follow(model, images_and_labels):
    images, _ = images_and_labels
    forward, outputs = tf.function(model), []
    for allocation in ALLOCATIONS:
        allocate(model, 0.8, allocation)
        outputs.append(forward(images).numpy())
        np.testing.assert_allclose(outputs[-1], model(images), rtol=1e-5, atol=1e-6)
    assert forward.experimental_get_tracing_count() == 1
    assert not np.allclose(outputs[0], outputs[1])
    assert not np.allclose(outputs[1], outputs[2])


@pytest.mark.parametrize(
    ("layer", "arguments", "message"),
    [
        (None, (1.0,), r"`sparsity`.*sparsity=1\.0"),
        (None, (float("nan"), "global"), "sparsity=nan"),
        (None, (0.5, "random"), r"`allocation`.*'erdos_renyi'.*='random'"),
        (None, ({"conv": 0.0, "fc*": 0.5},), r"match the name of a.*pattern='fc\*'"),
        (None, ({"conv": 0.0, "*": 1.0}, "global"), r"sparsity=1\.0"),
        (None, ("half",), r"or a function.*sparsity='half'"),
        (keras.layers.Dense(3), (0.5,), "must have supermask layers"),
        (
            SupermaskDense(3, name="late"),
            (0.5, "global"),
            r"must be built.*layer='late'",
        ),
    ],
)
def test_refuses_what_it_cannot_use(model, layer, arguments, message):
    before = counts_of(model)
    with pytest.raises(InputError, match=message):
        allocate(keras.Sequential([layer]) if layer else model, *arguments)
    assert counts_of(model) == before


def test_what_a_method_decides_is_not_set():
    model = models.build("conv2", (8, 8, 3), method="stochastic", sparsity=0.5)
    allocate(model, 0.5)
    with pytest.raises(InputError, match=r"conv1/kernel.*cannot be set.*sparsity=0.9"):
        allocate(model, 0.9)
    with pytest.raises(InputError, match=r"conv2/kernel.*cannot be set"):
        allocate(model, {"conv1": 0, "*": 0.9})
    assert model.get_layer("conv1").sparsity == 0.5
    allocate(model, 0)
    assert realised_sparsity(model) == model.get_layer("conv1").sparsity == 0
    with pytest.raises(InputError, match="cannot be set"):
        allocate(model, 0.9)
    allocate(model, 0.5)
    assert model.get_layer("conv1").sparsity == 0.5
