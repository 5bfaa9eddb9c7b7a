"""One frozen kernel of a supermask layer, with its scores."""

from __future__ import annotations

import math
import random

import keras
import tensorflow as tf

from tfsupermask._validation import check_fraction, check_integer, fail
from tfsupermask.layers.initializers import default_score_initializer
from tfsupermask.layers.kernels import Kernel, MaskVariables
from tfsupermask.ops import THRESHOLDED, derive_seed, num_kept


class MaskedWeight:
    """A kernel of a supermask layer, its scores and the number of weights it keeps.

    A layer makes its masked weights when it is built. `masked_weights(model)` lists
    those of a whole model.

    Args:
        sparsity: Fraction of the weights removed, in [0, 1).
        initializer: Of the scores; `None` stands for U(-1/√fan_in, 1/√fan_in).

    Attributes:
        layer: The supermask layer.
        owner: The layer that has the kernel, `layer` or one inside it.
        kernel: The frozen weights, a variable.
        score: The trainable float32 scores, a variable shaped like the kernel.
        draw: Number of the current draw of a stochastic mask, a variable; 0 is the mask
            without chance. `None` unless the method draws.
        position: Index of the kernel among all weights of the layer.
        fans: `Kernel.fans`, (fan_in, fan_out).

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

    def __init__(
        self,
        layer: keras.Layer,
        kernel: Kernel,
        sparsity: float,
        initializer: keras.initializers.Initializer | None,
    ):
        self.layer, self.owner, self.kernel = layer, kernel.owner, kernel.variable
        self.fans, self.position = kernel.fans, kernel.position
        self._name_in_layer = kernel.name
        self._wanted = check_fraction("sparsity", sparsity)
        initializer = initializer or default_score_initializer(self.fans[0])
        self.kernel.trainable = False
        self.variables = MaskVariables(
            f"{kernel.name.replace('/', '_')}_mask",
            self.kernel.shape,
            lambda shape, dtype: self.method.starting_score(
                initializer(shape, dtype), sparsity
            ),
            num_kept(self.num_weights, sparsity),
        )
        self.score = self.variables.score
        self.draw, self._seed = None, 0
        if self.method.draws:
            self._start_draws(getattr(initializer, "seed", None), kernel)

    def _start_draws(self, seed, kernel):
        seed = seed if isinstance(seed, int) else random.randrange(2**31)
        # Keras may have numbered the names of layers inside.
        inside = [] if self.owner is self.layer else [kernel.position]
        self._seed = derive_seed(seed, "draw", self.kernel.name, *inside)
        # A TensorFlow variable, so that it does not become a weight of the model.
        with tf.init_scope():
            self.draw = tf.Variable(THRESHOLDED, trainable=False, dtype=tf.int32)

    @property
    def name(self) -> str:
        """Name of the layer and of the kernel in it."""
        return f"{self.layer.name}/{self._name_in_layer}"

    @property
    def method(self):
        """The `Method` that selects its weights."""
        return self.layer.method

    @property
    def num_weights(self) -> int:
        """Number of weights in the kernel."""
        return math.prod(self.kernel.shape)

    @property
    def num_kept(self) -> int:
        """Number of weights kept; may be set unless the method learns it."""
        return self.method.num_kept(self.score.value, self._count)

    @num_kept.setter
    def num_kept(self, value: int) -> None:
        if check_integer("num_kept", value, minimum=1) > self.num_weights:
            raise fail(
                f"`num_kept` must be at most the {self.num_weights} weights of "
                f"{self.name}.",
                num_kept=value,
            )
        if self.method.learns_num_kept:
            raise fail(
                f"How many weights the {self.method.name} mask of {self.name} keeps is "
                "learned and cannot be set.",
                num_kept=value,
            )
        self.variables.num_kept.assign(value)

    @property
    def sparsity(self) -> float:
        """Fraction of the weights removed, in [0, 1); may be set.

        It is the number that was set, if that gives the number of weights kept. For a
        method that learns this number, only setting 0 (keep all) has an effect later.
        """
        if num_kept(self.num_weights, self._wanted) == self._count:
            return self._wanted
        return 1 - self._count / self.num_weights

    @sparsity.setter
    def sparsity(self, value: float) -> None:
        self._wanted = check_fraction("sparsity", value)
        self.variables.num_kept.assign(num_kept(self.num_weights, value))

    @property
    def mask(self) -> tf.Tensor:
        """The factors of the kernel in evaluation, float32, in the kernel's shape.

        They are 0 and 1; in a signed mask also -1; in a stochastic one 0 and
        `num_weights` / `num_kept`, whatever the current draw.
        """
        draw = (self._seed, THRESHOLDED)
        return self.method.mask(*_read(self.score, self.variables.num_kept), draw)

    def masked(self) -> tf.Tensor:
        """Returns kernel · mask for the current draw, differentiable in the scores."""
        # Setting `trainable` of a layer around it may have unfrozen it.
        self.kernel.trainable = False
        draw = None if self.draw is None else (self._seed, self.draw.value())
        # In the kernel's own precision, as layers cast it when they use it.
        with keras.src.backend.AutocastScope(None):
            read = _read(self.kernel, self.score, self.variables.num_kept)
        return self.method.masked_kernel(*read, draw)

    @property
    def _count(self) -> int:
        return int(self.variables.num_kept.numpy())


def _read(*variables):
    """Returns the values as tensors, so that they are read only once."""
    return [tf.convert_to_tensor(variable) for variable in variables]
