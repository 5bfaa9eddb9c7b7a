"""An order of images in which the classes take turns."""

from __future__ import annotations

import numpy as np


def class_balanced_order(labels: np.ndarray, seed: int | None) -> np.ndarray:
    """Returns all image indices, shuffled, the classes taking turns.

    Every prefix holds the classes in equal numbers, as long as they last.

    Args:
        labels: Integer array (n,).
        seed: Non-negative integer, or `None` not to shuffle: the first image of each
            class, then the second of each, and so on.

    Returns:
        int64 permutation (n,).

    Example:
        >>> labels = np.array([0, 0, 0, 1, 1, 1])
        >>> labels[class_balanced_order(labels, seed=0)].reshape(3, 2).sum(axis=1)
        array([1, 1, 1])
        >>> class_balanced_order(labels, seed=None)
        array([0, 3, 1, 4, 2, 5])

    Reference:
        - Thesis §4.2.1.
    """
    if seed is None:
        permutation = np.arange
    else:
        permutation = np.random.Generator(np.random.Philox(seed)).permutation
    shuffled = permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    counts = np.unique(labels, return_counts=True)[1]
    turn = np.concatenate([np.arange(count) for count in counts])
    class_rank = np.repeat(permutation(len(counts)), counts)
    return by_class[np.lexsort((class_rank, turn))]
