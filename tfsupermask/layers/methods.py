"""The methods: what selects weights, and what is trained; one object each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from tfsupermask import ops
from tfsupermask._on_use import OnUse
from tfsupermask._validation import check_choice, fail

tf = OnUse("tensorflow")

# Seed and number of a draw of a stochastic mask.
Draw = tuple[int, "int | tf.Tensor"]


class Method:
    """How weights are selected, and what is trained: the scores or the kernel.

    It has no state: one object serves all layers.

    For your own method write a subclass and `register` an object of it. If its masks do
    not keep the scores of largest magnitude, it has its own `rank`, `score_from` and
    `score_for` (docs/how_to.md).

    Attributes:
        name: Its name in layers, files and flags.
        draws: Whether its masks are drawn again for every step of training.
        inverts: Whether its masks also hold -1.
        recipe: Values for fields of a run's recipe, by name.
        trains_kernel: Whether the kernel is trained, not the scores.
        has_scores: Whether layers have scores (`True` by default); without them, the
            kernel takes their place.
        takes_sparsity: Whether the sparsity determines how many weights are kept, at
            least at the start (`True` by default).
        ramps: Whether a run lets the sparsity rise over the first half of its epochs,
            unless told otherwise.
        decides_num_kept: Whether the number of weights kept cannot be set later.

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
    trains_kernel = False
    has_scores = True
    takes_sparsity = True
    ramps = False
    decides_num_kept = False

    def mask(
        self, score: tf.Tensor, k: tf.Tensor, draw: Draw | None = None
    ) -> tf.Tensor:
        """Returns the factors of the kernel: 0 for the weights removed.

        Args:
            score: float32 tensor of any static shape.
            k: Number of weights kept, an int32 scalar.
            draw: Seed and number of the draw, if `draws`.
        """
        raise NotImplementedError

    def masked_kernel(
        self,
        kernel: tf.Tensor,
        score: tf.Tensor,
        k: tf.Tensor,
        draw: Draw | None = None,
    ) -> tf.Tensor:
        """Returns kernel · mask, differentiable in what is trained.

        If that is the scores, the gradient takes them for the mask.
        """
        mask = self.mask(score, k, draw)
        if self.trains_kernel:
            return kernel * tf.stop_gradient(tf.cast(mask, kernel.dtype))
        return ops.straight_through_kernel(kernel, score, mask)

    def effective_kernel(self, kernel: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Returns what evaluation computes with, for the mask of evaluation."""
        return kernel * tf.cast(mask, kernel.dtype)

    def num_kept(self, score: tf.Tensor, k: int) -> int:
        """Returns how many weights evaluation keeps, if `k` is the number allowed."""
        if self.decides_num_kept:
            return int(tf.math.count_nonzero(self.mask(score, k)))
        return k

    def starting_score(self, score: tf.Tensor, sparsity: float) -> tf.Tensor:
        """Returns the scores for the start of training, made of drawn ones."""
        return score

    def score_from(self, magnitude: np.ndarray, sparsity: float) -> np.ndarray:
        """Returns scores that first keep the weights with the largest magnitudes."""
        return magnitude

    def score_for(self, mask: np.ndarray) -> np.ndarray:
        """Returns scores that select a mask again with its number of kept weights."""
        return np.asarray(mask, np.float32)

    def rank(self, score: np.ndarray) -> np.ndarray:
        """Returns the values that rank a kernel's weights, larger is better."""
        return np.abs(score)


class EdgePopup(Method):
    """Keeps the weights with the largest scores, exactly `k` of them.

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
        return ops.top_k_mask(score, k, self.ranking)

    def masked_kernel(self, kernel, score, k, draw=None):
        """Returns kernel · mask, see `tfsupermask.ops.masked_kernel`."""
        if type(self).mask is not EdgePopup.mask:
            return super().masked_kernel(kernel, score, k, draw)
        return ops.masked_kernel(kernel, score, k, self.ranking)

    def rank(self, score):
        """Returns the scores, or their magnitudes."""
        return np.abs(score) if self.ranking == "magnitude" else score


class Signed(Method):
    """Keeps the weights with the largest `|score|`, inverted if the score is negative.

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
        return ops.signed_mask(score, k)


class Stochastic(Method):
    """Keeps each weight with probability sigmoid(score), drawn again for every step.

    Without a draw, the weights with probabilities above a half are kept. Kept weights
    are multiplied by (weights / weights kept). The sparsity only determines where the
    probabilities start, but a sparsity of 0 keeps all weights.

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
    decides_num_kept = True

    def mask(self, score, k, draw=None):
        """Returns 0 and (weights / weights kept)."""
        seed, number = draw or (0, ops.THRESHOLDED)
        everything = k == score.shape.num_elements()
        return ops.stochastic_factors(
            tf.where(everything, math.inf, score), seed, number
        )

    def masked_kernel(self, kernel, score, k, draw=None):
        """Returns kernel · mask, see `tfsupermask.ops.stochastic_kernel`."""
        return ops.stochastic_kernel(kernel, score, self.mask(score, k, draw))

    def starting_score(self, score, sparsity):
        """Returns the scores, moved to the probability 1 - `sparsity`."""
        return score + (math.log((1 - sparsity) / sparsity) if sparsity else 0.0)

    def score_from(self, magnitude, sparsity):
        """Returns 1 for the largest magnitudes and -1 for the others."""
        kept = ops.num_kept(magnitude.size, sparsity)
        return 2 * ops.top_k_mask(magnitude, kept).numpy() - 1


# Ramanujan et al., 2020, for the dense networks that they compare with.
DENSE_RECIPE = MappingProxyType({"learning_rate": 0.01})


class Biprop(EdgePopup):
    """Keeps the weights as `EdgePopup` does, and of these the signs alone.

    The layer computes with gain · sign(weight), where the gain is the mean magnitude of
    the weights kept.

    Example:
        >>> kernel, mask = tf.constant([1.0, -2.0, 5.0]), tf.constant([1.0, 1.0, 0.0])
        >>> get_method("biprop").effective_kernel(kernel, mask).numpy()
        array([ 1.5, -1.5,  0. ], dtype=float32)

    Reference:
        - Diffenderfer and Kailkhura, 2021, "Multi-prize lottery ticket hypothesis:
          finding accurate binary neural networks by pruning a randomly weighted
          network".
    """

    def __init__(self):
        super().__init__("biprop")

    def masked_kernel(self, kernel, score, k, draw=None):
        """Returns gain · sign(kernel) · mask, see `tfsupermask.ops.binary_kernel`."""
        return ops.binary_kernel(kernel, score, k)

    def effective_kernel(self, kernel, mask):
        """Returns gain · sign(kernel) · mask."""
        return ops.binarised(kernel, mask)


class IteRand(EdgePopup):
    """Keeps the weights with the largest scores; removed ones are drawn anew at times.

    Training does this with `redraw_removed`: a run every `redraw_steps` steps of its
    recipe, `model.fit` with the callback `KernelRedraws`.

    Example:
        >>> get_method("iterand").mask(tf.constant([0.1, -3.0, 2.0]), k=2).numpy()
        array([1., 0., 1.], dtype=float32)

    Reference:
        - Chijiwa et al., 2021, "Pruning randomly initialized neural networks with
          iterative randomization".
    """

    recipe = MappingProxyType({"redraw_steps": 300})

    def __init__(self):
        super().__init__("iterand", ranking="score")


class Magnitude(Method):
    """Trains the kernel, of which the weights largest in magnitude are kept.

    The mask follows the weights in every step. A `SparsitySchedule` removes more and
    more of them.

    Args:
        name: Defaults to `"magnitude"`.
        straight_through: Whether removed weights get the gradient that they would have
            if they were kept, so that they may come back. Otherwise (default) they get
            none.

    Example:
        >>> get_method("magnitude").mask(tf.constant([0.1, -3.0, 2.0]), k=2).numpy()
        array([0., 1., 1.], dtype=float32)

    Reference:
        - Zhu and Gupta, 2017, "To prune, or not to prune".
        - Lin et al., 2020, "Dynamic model pruning with feedback", for the gradient.
    """

    trains_kernel = True
    has_scores = False
    recipe = DENSE_RECIPE
    ramps = True

    def __init__(self, name: str = "magnitude", straight_through: bool = False):
        self.name = name
        self.straight_through = straight_through

    def mask(self, score, k, draw=None):
        """Returns zeros and ones."""
        return ops.top_k_mask(tf.cast(score, tf.float32), k)

    def masked_kernel(self, kernel, score, k, draw=None):
        """Returns kernel · mask, differentiable in the kernel."""
        masked = super().masked_kernel(kernel, score, k)
        if self.straight_through:
            return kernel + tf.stop_gradient(masked - kernel)
        return masked


class Dense(Method):
    """Trains the kernel and keeps all of its weights: the dense network.

    Example:
        >>> get_method("dense").mask(tf.constant([0.1, -3.0]), k=1).numpy()
        array([1., 1.], dtype=float32)
    """

    name = "dense"
    trains_kernel = True
    has_scores = False
    recipe = DENSE_RECIPE
    takes_sparsity = False
    decides_num_kept = True

    def mask(self, score, k, draw=None):
        """Returns ones."""
        return tf.ones(score.shape)

    def masked_kernel(self, kernel, score, k, draw=None):
        """Returns the kernel."""
        return tf.convert_to_tensor(kernel)


class Fixed(Method):
    """Trains the kernel under a mask that stays: where the frozen scores are above 0.

    `tfsupermask.fix_masks` gives a model's masks to this method. In a new layer the
    sparsity and chance determine the mask.

    Example:
        >>> get_method("fixed").mask(tf.constant([0.0, 1.0, 1.0]), k=2).numpy()
        array([0., 1., 1.], dtype=float32)

    Reference:
        - Frankle and Carbin, 2019, "The lottery ticket hypothesis".
    """

    name = "fixed"
    trains_kernel = True
    recipe = DENSE_RECIPE
    takes_sparsity = False
    decides_num_kept = True

    def mask(self, score, k, draw=None):
        """Returns zeros and ones."""
        everything = k == score.shape.num_elements()
        return tf.cast((score > 0) | everything, tf.float32)

    def starting_score(self, score, sparsity):
        """Returns 1 for the largest magnitudes of the scores and 0 for the others."""
        return ops.top_k_mask(score, ops.num_kept(score.shape.num_elements(), sparsity))

    def score_from(self, magnitude, sparsity):
        """Returns 1 for the largest magnitudes and 0 for the others."""
        return self.starting_score(tf.constant(magnitude), sparsity).numpy()


_METHODS: dict[str, Method] = {}
# The method for each `ranking` in older files.
OF_RANKING = {"magnitude": "edge_popup", "score": "edge_popup_by_score"}


def register(method: Method) -> Method:
    """Registers a method by its name, in place of an earlier one with this name.

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
    Biprop(),
    IteRand(),
    Magnitude(),
    Magnitude("magnitude_straight_through", straight_through=True),
    Dense(),
    Fixed(),
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
    """Returns the method with a name.

    Args:
        method: A name in `method_names()`, or a registered method.

    Raises:
        InputError: No method has this name.

    Example:
        >>> get_method("signed").inverts
        True
    """
    name = method.name if isinstance(method, Method) else method
    if isinstance(method, Method) and _METHODS.get(name) is not method:
        raise fail("A method must be registered: `register(method)`.", method=name)
    return _METHODS[check_choice("method", name, method_names())]
