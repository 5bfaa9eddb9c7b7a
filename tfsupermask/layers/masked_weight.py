"""One frozen kernel of a supermask layer, with its scores."""

from __future__ import annotations

import contextlib
import contextvars
import math
import random
from collections.abc import Iterator

import keras
import tensorflow as tf

from tfsupermask._validation import check_fraction, check_integer, fail
from tfsupermask.layers.initializers import default_score_initializer
from tfsupermask.layers.kernels import kernel_fans
from tfsupermask.ops import (
    THRESHOLDED,
    derive_seed,
    masking,
    signed_kernel,
    signed_mask,
    stochastic_factors,
    stochastic_kernel,
)

_found: contextvars.ContextVar[dict[int, tf.Tensor] | None] = contextvars.ContextVar(
    "masked kernels found", default=None
)


@contextlib.contextmanager
def masks_found_once() -> Iterator[None]:
    """Finds each mask only once in the body, however often its layer is called.

    The scores must not change in the body, nor the precision that layers compute in.

    Example:
        >>> model, images = models.build("conv2", (8, 8, 3)), tf.zeros((1, 8, 8, 3))
        >>> with masks_found_once():
        ...     twice = model(images), model(images)
    """
    token = _found.set({})
    try:
        yield
    finally:
        _found.reset(token)


class MaskedWeight:
    """A kernel of a supermask layer, its scores and how many of its weights are kept.

    Most supermask layers have one, separable convolutions have two. Layers make them
    when they are built; `masked_weights(model)` lists those of a whole model.

    Args:
        layer: The supermask layer.
        attribute: The kernel's name there: `"kernel"`, `"depthwise_kernel"` or
            `"pointwise_kernel"`.

    Attributes:
        layer: The layer that it belongs to.
        attribute: The kernel's name there.
        score_attribute: The scores' name there: `"score"`, `"depthwise_score"` or
            `"pointwise_score"`.

    Example:
        >>> layer = SupermaskDense(10, sparsity=0.7, name="dense")
        >>> layer.build((None, 100))
        >>> weight = layer.masked_weights[0]
        >>> weight.name, weight.num_weights, weight.num_kept
        ('dense/kernel', 1000, 300)
        >>> weight.num_kept = 100
        >>> layer.sparsity
        0.9

    Reference:
        - Thesis §3.2; Ramanujan et al., 2020; Koster et al., 2022; Zhou et al., 2019.
    """

    def __init__(self, layer: keras.Layer, attribute: str):
        self.layer = layer
        self.attribute = attribute
        self.score_attribute = attribute.replace("kernel", "score")

    @property
    def name(self) -> str:
        """Name of the layer and of the kernel in it."""
        return f"{self.layer.name}/{self.attribute}"

    @property
    def kernel(self) -> keras.Variable:
        """The frozen weights."""
        return getattr(self.layer, self.attribute)

    @property
    def score(self) -> keras.Variable:
        """The trainable float32 scores, shaped like the kernel."""
        return getattr(self.layer, self.score_attribute)

    @property
    def num_weights(self) -> int:
        """Number of weights in the kernel."""
        return math.prod(self.kernel.shape)

    @property
    def num_kept(self) -> int:
        """Number of weights that survive, in [1, `num_weights`]; may be assigned to.

        That of a stochastic mask is learned: it cannot be assigned to.
        """
        if self.is_stochastic:
            return int(tf.math.count_nonzero(self.mask))
        return self._wanted_count

    @num_kept.setter
    def num_kept(self, value: int) -> None:
        if check_integer("num_kept", value, minimum=1) > self.num_weights:
            raise fail(
                f"`num_kept` must be at most the {self.num_weights} weights of "
                f"{self.name}.",
                num_kept=value,
            )
        if self.is_stochastic:
            raise fail(
                f"How many weights the stochastic mask of {self.name} keeps is "
                "learned and cannot be set.",
                num_kept=value,
            )
        self.sparsity = 1 - value / self.num_weights

    @property
    def sparsity(self) -> float:
        """Fraction of the weights that is removed, in [0, 1); may be assigned to.

        A stochastic mask starts from it when the layer is built. Later only 0, which
        keeps all weights as long as it is assigned, makes a difference.
        """
        return self.layer._sparsities[self.attribute]

    @sparsity.setter
    def sparsity(self, value: float) -> None:
        self.layer._sparsities[self.attribute] = check_fraction("sparsity", value)
        if self.layer.built:
            self._count.assign(self._wanted_count)

    @property
    def mask(self) -> tf.Tensor:
        """What evaluation multiplies the kernel with, float32, shaped like it.

        Zeros and ones; of a signed mask also -1; of a stochastic one zeros and
        `num_weights` / `num_kept`, whatever is drawn at the moment.
        """
        score, k = self.score.value, tf.convert_to_tensor(self._count)
        if self.is_stochastic:
            return self._factors(score, k, THRESHOLDED)
        if self.layer.ranking == "signed":
            return signed_mask(score, k)
        return masking.top_k_mask(score, k, self.layer.ranking)

    @property
    def is_stochastic(self) -> bool:
        """Whether the mask can be drawn."""
        return self.layer.ranking == "stochastic"

    @property
    def draw(self) -> tf.Variable:
        """Number of the draw that a stochastic mask is in; 0 stands for no chance."""
        return getattr(self.layer, self._attribute_like("draw"))

    def masked(self) -> tf.Tensor:
        """Returns kernel · mask in the compute dtype, differentiable in the scores.

        A stochastic mask is the one of `draw`.
        """
        found = _found.get()
        if found is None:
            return self._masked()
        if id(self.score) not in found:
            found[id(self.score)] = self._masked()
        return found[id(self.score)]

    def _masked(self):
        kernel = keras.ops.convert_to_tensor(self.kernel)
        score = keras.ops.convert_to_tensor(self.score)
        k = tf.convert_to_tensor(self._count)
        if self.is_stochastic:
            factors = self._factors(score, k, tf.convert_to_tensor(self.draw))
            return stochastic_kernel(kernel, score, factors)
        if self.layer.ranking == "signed":
            return signed_kernel(kernel, score, k)
        return masking.masked_kernel(kernel, score, k, self.layer.ranking)

    def _factors(self, score, k, draw):
        seed = getattr(self.layer, self._attribute_like("draw_seed"))
        everything = tf.where(k == self.num_weights, math.inf, score)
        return stochastic_factors(everything, seed, draw)

    @property
    def fans(self) -> tuple[int, int]:
        """Numbers of inputs and outputs of one weight's unit, (fan_in, fan_out)."""
        return kernel_fans(self.layer, self.attribute)

    @property
    def _count(self) -> tf.Variable:
        return getattr(self.layer, self._attribute_like("num_kept"))

    @property
    def _wanted_count(self) -> int:
        return masking.num_kept(self.num_weights, self.sparsity)

    def _attribute_like(self, name):
        return "_" + self.attribute.replace("kernel", name)

    def build(self) -> None:
        """Freezes the kernel and creates the scores. Called by the layer's `build`."""
        self.kernel.trainable = False
        # A variable, so that compiled functions follow a change of sparsity; not
        # Keras' own, so that it is no weight of the model.
        with tf.init_scope():
            count = tf.Variable(self._wanted_count, trainable=False, dtype=tf.int32)
        setattr(self.layer, self._attribute_like("num_kept"), count)
        initializer = self.layer.score_initializer or default_score_initializer(
            self.fans[0]
        )
        if self.is_stochastic:
            self._build_draws(initializer)
            initializer = _shifted(initializer, self.sparsity)
        # Ranking needs float32: in half precision scores would tie by the thousand.
        score = self.layer.add_weight(
            name=self.score_attribute,
            shape=self.kernel.shape,
            initializer=initializer,
            dtype="float32",
            autocast=False,
        )
        setattr(self.layer, self.score_attribute, score)

    def _build_draws(self, initializer):
        """Creates the number of the draw and its seed, from that of the scores."""
        seed = getattr(initializer, "seed", None)
        if not isinstance(seed, int):
            seed = random.randrange(2**31)
        seed = derive_seed(seed, "draw", self.attribute)
        setattr(self.layer, self._attribute_like("draw_seed"), seed)
        with tf.init_scope():
            draw = tf.Variable(THRESHOLDED, trainable=False, dtype=tf.int32)
        setattr(self.layer, self._attribute_like("draw"), draw)


def _shifted(initializer, sparsity):
    """Returns an initializer of scores that stand for the probability 1 - sparsity."""
    shift = math.log((1 - sparsity) / sparsity) if sparsity else 0.0
    return lambda shape, dtype: initializer(shape, dtype) + shift
