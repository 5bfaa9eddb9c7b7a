import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsupermask._validation import InputError
from tfsupermask.patches import Clusters, cluster_entropy, select_clusters

patches_with_cluster_and_label = st.lists(
    st.tuples(st.integers(0, 7), st.integers(0, 12)), min_size=1, max_size=200
)


def clusters_of(assignment, count):
    return Clusters(assignment, np.zeros(len(assignment)), np.zeros((count, 2)))


def entropy_of(labels):
    counts = Counter(labels)
    return sum(
        -count / len(labels) * math.log2(count / len(labels))
        for count in counts.values()
    )


@settings(max_examples=200, deadline=None)
@given(patches_with_cluster_and_label)
def test_entropy_and_sizes_equal_counting_labels_one_by_one(patches):
    assignment, labels = np.array(patches).T
    clusters = clusters_of(assignment.astype(np.int32), 8)
    entropy, sizes = cluster_entropy(clusters, labels), clusters.sizes
    assert entropy.shape == sizes.shape == (8,)
    for c in range(8):
        members = [label for cluster, label in patches if cluster == c]
        assert sizes[c] == len(members)
        assert entropy[c] == pytest.approx(entropy_of(members), abs=1e-12)


@pytest.mark.parametrize(
    ("labels", "entropy"),
    [
        ([4, 4, 4], 0.0),
        ([0, 7], 1.0),
        ([0, 1, 2, 3], 2.0),
        ([5, 5, 6, 7], 1.5),
        ([0, 0, 10**15, 3 * 10**9], 1.5),
        (list(range(10)) * 3, math.log2(10)),
    ],
)
def test_entropy_in_bits(labels, entropy):
    clusters = clusters_of(np.zeros(len(labels), np.int32), 2)
    result = cluster_entropy(clusters, np.array(labels))
    np.testing.assert_allclose(result, [entropy, 0], atol=1e-12)
    assert not np.signbit(result).any()


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 12), min_size=2, max_size=100),
    st.permutations(range(13)),
    st.integers(1, 4),
)
def test_entropy_is_the_same_bits_whichever_class_is_which(labels, renamed, times):
    original = np.array(labels)
    other = np.tile(np.array(renamed)[original], times)
    assignment = np.repeat([0, 1], [len(original), len(other)])
    labels = np.concatenate([original, other])
    entropy = cluster_entropy(clusters_of(assignment, 2), labels)
    assert entropy[0] == entropy[1]


@settings(max_examples=300, deadline=None)
@given(
    clusters=st.lists(
        st.tuples(st.sampled_from([0.0, 0.5, 1.0, 2.5]), st.integers(0, 9)),
        min_size=1,
        max_size=30,
    ),
    num_selected=st.integers(1, 32),
    discriminative=st.booleans(),
)
def test_selection_equals_sorting_tuples(clusters, num_selected, discriminative):
    sign = 1 if discriminative else -1
    ranked = sorted(
        (size < 5, sign * entropy, -size, index)
        for index, (entropy, size) in enumerate(clusters)
        if size > 0
    )
    entropy, sizes = np.array(clusters).T
    selected = select_clusters(
        entropy, sizes.astype(np.int64), num_selected, discriminative=discriminative
    )
    assert selected.tolist() == [index for *_, index in ranked[:num_selected]]


ENTROPY = np.array([1.0, 3.0, 2.0, 0.0, 2.5, 0.5])
SIZES = np.array([9, 4, 30, 0, 9, 5])


@pytest.mark.parametrize("discriminative", [False, True])
def test_the_largest_clusters_come_first_by_size(discriminative):
    chosen = select_clusters(
        ENTROPY, SIZES, 6, discriminative=discriminative, select="size"
    )
    assert chosen.tolist() == [2, 0, 4, 5, 1]


def test_random_clusters_are_a_function_of_the_seed_small_ones_last():
    options = {"discriminative": False, "select": "random"}
    orders = set()
    for seed in range(200):
        chosen = select_clusters(ENTROPY, SIZES, 6, **options, seed=seed).tolist()
        again = select_clusters(ENTROPY, SIZES, 6, **options, seed=seed).tolist()
        assert chosen == again
        found = select_clusters(-ENTROPY, 2 * SIZES - 4, 6, **options, seed=seed)
        assert found.tolist() == chosen
        assert sorted(chosen[:4]) == [0, 2, 4, 5]
        assert chosen[4:] == [1]
        orders.add(tuple(chosen))
    assert len(orders) == 24  # all of them


def test_refuses_another_selection():
    with pytest.raises(InputError, match=r"`select` must be one of.*'largest'"):
        select_clusters(ENTROPY, SIZES, 6, discriminative=False, select="largest")
