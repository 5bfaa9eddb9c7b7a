"""The methods: what scores say about a kernel's weights, one object each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import tensorflow as tf

from tfsupermask._validation import check_choice, fail
from tfsupermask.ops import (
    THRESHOLDED,
    masked_kernel,
    num_kept,
    signed_mask,
    stochastic_factors,
    stochastic_kernel,
    straight_through_kernel,
    top_k_mask,
)

# Seed and number of a draw of a mask by chance.
Draw = tuple[int, "int | tf.Tensor"]


class Method:
    """How scores select weights: stateless, one object serves all layers.

    A method of your own is a subclass and a call of `register`.

    Attributes:
        name: What layers, files and flags call it.
        draws: Whether its masks are drawn anew for every step of training. Defaults
            to `False`.
        inverts: Whether its masks hold -1 as well. Defaults to `False`.
        recipe: What a run wants in place of its recipe's fields, by their names, if
            anything. Defaults to nothing.
        learns_num_kept: Whether the scores alone say how many weights are kept.
            Defaults to `False`: the sparsity does.

    Example:
        >>> class Smallest(EdgePopup):
        ...     def mask(self, score, k, draw=None):
        ...         return super().mask(-tf.abs(score), k)
        >>> register(Smallest("smallest", ranking="score")).name
        'smallest'
        >>> SupermaskDense(10, method="smallest").method.name
        'smallest'
    """

    name: str
    draws = False
    inverts = False
    recipe: Mapping[str, float] = MappingProxyType({})
    learns_num_kept = False

    def mask(
        self, score: tf.Tensor, k: tf.Tensor, draw: Draw | None = None
    ) -> tf.Tensor:
        """Returns what the kernel is multiplied with: 0 for the weights removed.

        Args:
            score: float32 tensor of any static shape.
            k: Number of weights kept, an int32 scalar.
            draw: Which draw, if `draws`.
        """
        raise NotImplementedError

    def masked_kernel(
        self,
        kernel: tf.Tensor,
        score: tf.Tensor,
        k: tf.Tensor,
        draw: Draw | None = None,
    ) -> tf.Tensor:
        """Returns kernel · mask; the gradient takes the scores for the mask."""
        return straight_through_kernel(kernel, score, self.mask(score, k, draw))

    def num_kept(self, score: tf.Tensor, k: int) -> int:
        """Returns how many weights evaluation keeps of a kernel that may keep `k`."""
        return int(tf.math.count_nonzero(self.mask(score, k))) if self.draws else k

    def starting_score(self, score: tf.Tensor, sparsity: float) -> tf.Tensor:
        """Returns the scores that training starts from, given those that were drawn."""
        return score

    def score_from(self, magnitude: np.ndarray, sparsity: float) -> np.ndarray:
        """Returns scores whose first mask keeps the weights of largest magnitude."""
        return magnitude

    def score_for(self, mask: np.ndarray) -> np.ndarray:
        """Returns scores that select a mask again, given how many weights it keeps."""
        return np.asarray(mask, np.float32)

    def rank(self, score: np.ndarray) -> np.ndarray:
        """Returns that by which a kernel's weights are compared, larger is better."""
        return np.abs(score)


class EdgePopup(Method):
    """Keeps the weights with the largest scores, exactly as many as asked for.

    Args:
        name: Defaults to `"edge_popup"`.
        ranking: `"magnitude"` (default) ranks by `|score|`, `"score"` by its value.

    Example:
        >>> get_method("edge_popup").mask(tf.constant([0.1, -3.0, 2.0]), k=2).numpy()
        array([0., 1., 1.], dtype=float32)

    Reference:
        - Thesis §3.2; Ramanujan et al., 2020, "What's hidden in a randomly weighted
          neural network?".
    """

    def __init__(self, name: str = "edge_popup", ranking: str = "magnitude"):
        self.name = name
        self.ranking = ranking

    def mask(self, score, k, draw=None):
        """Returns zeros and ones."""
        return top_k_mask(score, k, self.ranking)

    def masked_kernel(self, kernel, score, k, draw=None):
        """Returns kernel · mask, see `tfsupermask.ops.masked_kernel`."""
        if type(self).mask is not EdgePopup.mask:
            return super().masked_kernel(kernel, score, k, draw)
        return masked_kernel(kernel, score, k, self.ranking)

    def rank(self, score):
        """Returns the scores, or their magnitudes."""
        return np.abs(score) if self.ranking == "magnitude" else score


class Signed(Method):
    """Keeps the largest `|score|`, and inverts weights of negative score.

    Example:
        >>> get_method("signed").mask(tf.constant([0.1, -3.0, 2.0]), k=2).numpy()
        array([ 0., -1.,  1.], dtype=float32)

    Reference:
        - Koster et al., 2022, "Signing the supermask: keep, hide, invert".
    """

    name = "signed"
    inverts = True

    def mask(self, score, k, draw=None):
        """Returns 0, 1 and -1."""
        return signed_mask(score, k)


class Stochastic(Method):
    """Keeps each weight with probability sigmoid(score), drawn anew for every step.

    Without a draw the weights above a half are kept. What is kept is multiplied by
    (weights / weights kept). The sparsity only says where the probabilities start;
    keeping all weights overrules them.

    Example:
        >>> get_method("stochastic").mask(tf.constant([0.1, -3.0]), k=1).numpy()
        array([2., 0.], dtype=float32)

    Reference:
        - Zhou et al., 2019, "Deconstructing lottery tickets: zeros, signs, and the
          supermask".
    """

    name = "stochastic"
    draws = True
    # Found on digits: the slope of the sigmoid makes gradients small.
    recipe = MappingProxyType({"learning_rate": 100.0, "weight_decay": 0.0})
    learns_num_kept = True

    def mask(self, score, k, draw=None):
        """Returns 0 and (weights / weights kept)."""
        seed, number = draw or (0, THRESHOLDED)
        everything = k == score.shape.num_elements()
        return stochastic_factors(tf.where(everything, math.inf, score), seed, number)

    def masked_kernel(self, kernel, score, k, draw=None):
        """Returns kernel · mask, see `tfsupermask.ops.stochastic_kernel`."""
        return stochastic_kernel(kernel, score, self.mask(score, k, draw))

    def starting_score(self, score, sparsity):
        """Returns the scores, moved to the probability 1 - `sparsity`."""
        return score + (math.log((1 - sparsity) / sparsity) if sparsity else 0.0)

    def score_from(self, magnitude, sparsity):
        """Returns 1 for the largest magnitudes and -1 for the others."""
        kept = num_kept(magnitude.size, sparsity)
        return 2 * top_k_mask(magnitude, kept).numpy() - 1


_METHODS: dict[str, Method] = {}
# What `ranking` of older files is called now.
_OF_RANKING = {"magnitude": "edge_popup", "score": "edge_popup_by_score"}


def register(method: Method) -> Method:
    """Makes a method known by its name; one of the same name before is replaced.

    Args:
        method: An object of a subclass of `Method`.

    Returns:
        The same object.

    Example:
        >>> register(EdgePopup("by_score", ranking="score")) is get_method("by_score")
        True
    """
    if not isinstance(getattr(method, "name", None), str):
        raise fail("`method` must be a `Method` that has a name.", method=method)
    _METHODS[method.name] = method
    return method


for _method in (
    EdgePopup(),
    EdgePopup("edge_popup_by_score", ranking="score"),
    Signed(),
    Stochastic(),
):
    register(_method)


def method_names() -> tuple[str, ...]:
    """Returns the names of all methods.

    Example:
        >>> method_names()[:4]
        ('edge_popup', 'edge_popup_by_score', 'signed', 'stochastic')
    """
    return tuple(_METHODS)


def get_method(method: str | Method) -> Method:
    """Returns the method of a name.

    Args:
        method: A name in `method_names()`, a ranking of older files (`"magnitude"`,
            `"score"`), or a method that is registered.

    Raises:
        InputError: There is none of that name.

    Example:
        >>> get_method("signed").learns_num_kept
        False
    """
    name = method.name if isinstance(method, Method) else method
    name = _OF_RANKING.get(name, name) if isinstance(name, str) else name
    if isinstance(method, Method) and _METHODS.get(name) is not method:
        raise fail("A method must be registered: `register(method)`.", method=name)
    return _METHODS[check_choice("method", name, method_names())]
