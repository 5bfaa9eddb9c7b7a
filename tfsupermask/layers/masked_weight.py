"""One frozen kernel of a supermask layer, with its scores."""

from __future__ import annotations

import contextlib
import contextvars
import math
from collections.abc import Iterator

import keras
import tensorflow as tf

from tfsupermask._validation import check_fraction, check_integer, fail
from tfsupermask.layers.initializers import default_score_initializer
from tfsupermask.layers.kernels import kernel_fans
from tfsupermask.ops import masking

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
        - Thesis §3.2; Ramanujan et al., 2020.
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
        """Number of weights that survive, in [1, `num_weights`]; may be assigned to."""
        return masking.num_kept(self.num_weights, self.sparsity)

    @num_kept.setter
    def num_kept(self, value: int) -> None:
        if check_integer("num_kept", value, minimum=1) > self.num_weights:
            raise fail(
                f"`num_kept` must be at most the {self.num_weights} weights of "
                f"{self.name}.",
                num_kept=value,
            )
        self.sparsity = 1 - value / self.num_weights

    @property
    def sparsity(self) -> float:
        """Fraction of the weights that is removed, in [0, 1); may be assigned to."""
        return self.layer._sparsities[self.attribute]

    @sparsity.setter
    def sparsity(self, value: float) -> None:
        self.layer._sparsities[self.attribute] = check_fraction("sparsity", value)
        if self.layer.built:
            self._count.assign(self.num_kept)

    @property
    def mask(self) -> tf.Tensor:
        """The current mask: float32 zeros and ones, shaped like the kernel."""
        k = tf.convert_to_tensor(self._count)
        return masking.top_k_mask(self.score.value, k, self.layer.ranking)

    def masked(self) -> tf.Tensor:
        """Returns kernel · mask in the compute dtype, differentiable in the scores."""
        found = _found.get()
        if found is None:
            return self._masked()
        if id(self.score) not in found:
            found[id(self.score)] = self._masked()
        return found[id(self.score)]

    def _masked(self):
        return masking.masked_kernel(
            keras.ops.convert_to_tensor(self.kernel),
            keras.ops.convert_to_tensor(self.score),
            tf.convert_to_tensor(self._count),
            self.layer.ranking,
        )

    @property
    def fans(self) -> tuple[int, int]:
        """Numbers of inputs and outputs of one weight's unit, (fan_in, fan_out)."""
        return kernel_fans(self.layer, self.attribute)

    @property
    def _count(self) -> tf.Variable:
        return getattr(self.layer, self._count_attribute)

    @property
    def _count_attribute(self) -> str:
        return "_" + self.attribute.replace("kernel", "num_kept")

    def build(self) -> None:
        """Freezes the kernel and creates the scores. Called by the layer's `build`."""
        self.kernel.trainable = False
        # A variable, so that compiled functions follow a change of sparsity; not
        # Keras' own, so that it is no weight of the model.
        with tf.init_scope():
            count = tf.Variable(self.num_kept, trainable=False, dtype=tf.int32)
        setattr(self.layer, self._count_attribute, count)
        # Ranking needs float32: in half precision scores would tie by the thousand.
        score = self.layer.add_weight(
            name=self.score_attribute,
            shape=self.kernel.shape,
            initializer=self.layer.score_initializer
            or default_score_initializer(self.fans[0]),
            dtype="float32",
            autocast=False,
        )
        setattr(self.layer, self.score_attribute, score)
