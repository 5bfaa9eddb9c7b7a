from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsupermask._balance import class_balanced_order

SEEDS = st.none() | st.integers(0, 2**31 - 1)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([0, 1, 2, 5, 9]), min_size=1, max_size=60), SEEDS)
def test_order_is_a_permutation_with_balanced_prefixes(labels, seed):
    labels = np.array(labels)
    order = class_balanced_order(labels, seed)
    assert sorted(order) == list(range(len(labels)))
    in_all, so_far = Counter(labels.tolist()), Counter()
    for label in labels[order].tolist():
        so_far[label] += 1
        most = max(so_far.values())
        for other, available in in_all.items():
            assert so_far[other] >= min(available, most - 1)


def test_order_depends_on_the_seed_alone():
    labels = np.repeat([0, 1, 2], [30, 10, 20])
    orders = []
    for state in (0, 1):
        np.random.seed(state)
        orders.append(class_balanced_order(labels, 7))
    np.testing.assert_array_equal(*orders)
    other = class_balanced_order(labels, 8)
    for c in range(3):
        assert (orders[0][labels[orders[0]] == c] != other[labels[other] == c]).any()


def test_without_a_seed_the_first_of_each_class_comes_first():
    labels = np.array([7, 7, 2, 7, 2, 5])
    assert class_balanced_order(labels, None).tolist() == [2, 5, 0, 4, 1, 3]
