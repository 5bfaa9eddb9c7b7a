"""One kernel of a supermask layer, with its scores."""

from __future__ import annotations

import functools
import math
import random

import keras
import numpy as np
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
        kernel: The weights, a variable; frozen unless the method trains them.
        score: The float32 scores, a variable shaped like the kernel. They are trained,
            unless the method trains the kernel. The kernel itself if the method has no
            scores.
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
        self.freeze()
        self.variables = MaskVariables(
            f"{kernel.name.replace('/', '_')}_mask",
            self.kernel.shape,
            lambda shape, dtype: self.method.starting_score(
                initializer(shape, dtype), sparsity
            ),
            num_kept(self.num_weights, sparsity),
            self.method,
        )
        self.score = self.variables.score if self.method.has_scores else self.kernel
        self._score_seed = getattr(initializer, "seed", None)
        self.draw = None
        if self.method.draws:
            # A TensorFlow variable, so that it does not become a weight of the model.
            with tf.init_scope():
                self.draw = tf.Variable(THRESHOLDED, trainable=False, dtype=tf.int32)
        # A replica cannot assign what all share; there, zeros stay zeros by their
        # gradients.
        stays = self.method.trains_kernel and self.method.has_scores
        if stays and not tf.distribute.has_strategy():
            self.kernel.constraint = _Within(self, self.kernel.constraint)

    @functools.cached_property
    def _seed(self):
        seed = self._score_seed
        seed = seed if isinstance(seed, int) else random.randrange(2**31)
        # Keras may have numbered the names of layers inside.
        inside = [] if self.owner is self.layer else [self.position]
        return derive_seed(seed, "draw", self.kernel.name, *inside)

    def draw_from(self, seed: int) -> None:
        """Makes the draws, of masks and of removed weights, those of a seed.

        Functions that were traced before, and copies of the layer, keep their own.
        """
        self._seed = derive_seed(seed, "draw")

    def freeze(self) -> None:
        """Freezes the kernel, unless the method trains it."""
        # Setting `trainable` of a layer around it may have unfrozen it.
        if not self.method.trains_kernel:
            self.kernel.trainable = False

    @property
    def trained(self) -> keras.Variable:
        """What training changes: the scores or the kernel."""
        return self.kernel if self.method.trains_kernel else self.score

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
        """Number of weights kept; may be set unless the method decides it."""
        return self.method.num_kept(self.score.value, self._count)

    @num_kept.setter
    def num_kept(self, value: int) -> None:
        if check_integer("num_kept", value, minimum=1) > self.num_weights:
            raise fail(
                f"`num_kept` must be at most the {self.num_weights} weights of "
                f"{self.name}.",
                num_kept=value,
            )
        if self.method.decides_num_kept:
            raise self._cannot_be_set(num_kept=value)
        self.variables.num_kept.assign(value)

    def _cannot_be_set(self, **received):
        return fail(
            f"How many weights {self.name} keeps is up to the method "
            f"'{self.method.name}' and cannot be set.",
            **received,
        )

    @property
    def sparsity(self) -> float:
        """Fraction of the weights removed, in [0, 1).

        It may be set if the method takes it, and is the number that was set, if that
        gives the number of weights kept. A method that learns this number takes 0 (keep
        all) and the sparsity of its start.
        """
        count = self._count if self.method.takes_sparsity else self.num_kept
        if num_kept(self.num_weights, self._wanted) == count:
            return self._wanted
        return 1 - count / self.num_weights

    @sparsity.setter
    def sparsity(self, value: float) -> None:
        self.check_sparsity(value)
        self.variables.num_kept.assign(num_kept(self.num_weights, value))
        if not self.method.decides_num_kept:
            self._wanted = value

    def check_sparsity(self, value: float) -> None:
        """Raises unless the sparsity may be set to a value."""
        decided = self.method.decides_num_kept and value not in (0, self._wanted)
        if decided or not self.method.takes_sparsity:
            raise self._cannot_be_set(sparsity=value)

    def select(self, mask: np.ndarray) -> None:
        """Sets the scores, if there are any, and the number kept to those of a mask."""
        if self.method.has_scores:
            self.score.assign(self.method.score_for(mask))
        count = int(np.count_nonzero(mask))
        # If the number is already right, the sparsity keeps the digits of its author.
        if self.num_kept != count:
            self.variables.num_kept.assign(count)

    @property
    def mask(self) -> tf.Tensor:
        """The factors of the kernel in evaluation, float32, in the kernel's shape.

        They are 0 and 1; in a signed mask also -1; in a stochastic one 0 and
        `num_weights` / `num_kept`, whatever the current draw.
        """
        draw = (self._seed, THRESHOLDED) if self.method.draws else None
        return self.method.mask(*_read(self.score, self.variables.num_kept), draw)

    def masked(self) -> tf.Tensor:
        """Returns kernel · mask for the current draw, differentiable in `trained`."""
        self.freeze()
        draw = None if self.draw is None else (self._seed, self.draw.value())
        # In the kernel's own precision, as layers cast it when they use it.
        with keras.src.backend.AutocastScope(None):
            read = _read(self.kernel, self.score, self.variables.num_kept)
        return self.method.masked_kernel(*read, draw)

    def effective(self) -> tf.Tensor:
        """Returns the kernel that evaluation uses, in the kernel's dtype."""
        return self.method.effective_kernel(self.kernel.value, self.mask)

    def redraw(self, number: tf.Tensor, fraction: float) -> None:
        """Replaces some of the removed weights, see `redraw_removed`."""
        kernel, shape = self.kernel.value, self.kernel.shape

        def uniform(which, below, dtype=tf.float32):
            seed = tf.stack([self._seed, 2 * number + which])
            return tf.random.stateless_uniform(shape, seed, 0, below, dtype, "philox")

        drawn = tf.gather(
            tf.reshape(kernel, [-1]), uniform(1, self.num_weights, tf.int32)
        )
        removed = (self.mask == 0) & (uniform(0, 1.0) < fraction)
        self.kernel.assign(tf.where(removed, drawn, kernel))

    @property
    def _count(self) -> int:
        return int(self.variables.num_kept.numpy())


class _Within:
    """A constraint that sets removed weights to zero, whatever an optimizer does."""

    def __init__(self, weight, given):
        self._weight, self._given = weight, given

    def __call__(self, kernel):
        kernel = self._given(kernel) if self._given else kernel
        # Not a product, which is not 0 where a training diverges.
        return keras.ops.where(self._weight.mask != 0, kernel, 0)


def _read(*variables):
    """Returns the values as tensors, so that they are read only once."""
    return [tf.convert_to_tensor(variable) for variable in variables]
