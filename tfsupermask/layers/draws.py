"""What is drawn again while a model is trained: stochastic masks, removed weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf

from tfsupermask._validation import check_fraction, check_integer
from tfsupermask.layers.masked_weight import MaskedWeight
from tfsupermask.layers.methods import IteRand
from tfsupermask.layers.walking import masked_weights
from tfsupermask.ops import THRESHOLDED


def stochastic_weights(model: keras.Model) -> list[MaskedWeight]:
    """Returns the masked weights of a model that have stochastic masks.

    Args:
        model: Any Keras model.

    Example:
        >>> model = models.build("conv2", method="stochastic")
        >>> len(stochastic_weights(model))
        5
    """
    return [weight for weight in masked_weights(model) if weight.method.draws]


@contextlib.contextmanager
def drawn(model: keras.Model, number: int) -> Iterator[None]:
    """Runs the body, compiled functions too, with one draw of the stochastic masks.

    Args:
        model: Built model; afterwards its masks are without chance again.
        number: Number of the draw, an int32 that is not 0. Training uses 1, 2, ...

    Example:
        >>> model = models.build("conv2", (8, 8, 3), method="stochastic")
        >>> images = np.ones((1, 8, 8, 3))
        >>> with drawn(model, -1):
        ...     first, again = model(images), model(images)
        >>> bool(np.all(first == again)), bool(np.all(first == model(images)))
        (True, False)
    """
    weights = stochastic_weights(model)
    try:
        _assign(weights, number)
        yield
    finally:
        _assign(weights, THRESHOLDED)


class MaskDraws(keras.callbacks.Callback):
    """Draws the stochastic masks of a model again for each batch of `model.fit`.

    Without it they are trained without chance, as in evaluation. A draw depends only on
    the layers' seeds and the number of the step of the optimizer: batches whose
    gradients are accumulated share one, as do those of `steps_per_execution`. Callbacks
    that use the model at the end of an epoch must come later in the list. After a `fit`
    that was interrupted, `on_train_end()` goes back to masks without chance.

    Example:
        >>> model = models.build("conv2", (8, 8, 3), method="stochastic")
        >>> model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(True))
        >>> images, labels = np.ones((8, 8, 8, 3)), np.zeros(8)
        >>> run = model.fit(images, labels, callbacks=[MaskDraws()], verbose=0)
        >>> [int(weight.draw) for weight in stochastic_weights(model)]
        [0, 0, 0, 0, 0]

    Reference:
        - Zhou et al., 2019, §5.
    """

    def on_train_batch_begin(self, batch, logs=None):
        """Goes on to the step's draw."""
        _assign(stochastic_weights(self.model), _step(self.model) + 1)

    def on_train_batch_end(self, batch, logs=None):
        """Goes back to masks without chance, for evaluation."""
        _assign(stochastic_weights(self.model), THRESHOLDED)

    # Without a known number of batches, Keras begins one more that never ends.

    def on_test_begin(self, logs=None):
        """Goes back to masks without chance."""
        self.on_train_batch_end(None)

    def on_epoch_end(self, epoch, logs=None):
        """Goes back to masks without chance."""
        self.on_train_batch_end(None)

    def on_train_end(self, logs=None):
        """Goes back to masks without chance."""
        self.on_train_batch_end(None)


def redraw_removed(
    model: keras.Model, number: int | tf.Tensor, fraction: float = 0.1
) -> None:
    """Replaces some of the removed weights of frozen kernels by other values of them.

    The new ones are drawn from all values of the same kernel. The draw depends only on
    the layer's seed and the number.

    Args:
        model: Built Keras model. Only weights with the method `IteRand` are replaced.
        number: Number of the draw, an int32 of at least 0.
        fraction: Probability that a removed weight is replaced, in [0, 1). Defaults to
            0.1.

    Raises:
        InputError: `fraction` is out of range.

    Example:
        >>> model = models.build("conv2", (8, 8, 3), method="iterand")
        >>> weight = masked_weights(model)[0]
        >>> before = weight.kernel.numpy()
        >>> redraw_removed(model, 1)
        >>> changed = weight.kernel.numpy() != before
        >>> bool(0.08 < changed[weight.mask.numpy() == 0].mean() < 0.12)
        True

    Reference:
        - Chijiwa et al., 2021: there, from the distribution of the initialisation.
    """
    check_fraction("fraction", fraction)
    for weight in masked_weights(model):
        if isinstance(weight.method, IteRand):
            weight.redraw(number, fraction)


class KernelRedraws(keras.callbacks.Callback):
    """Calls `redraw_removed` now and then in `model.fit`.

    Args:
        steps: Steps of the optimizer from one draw to the next, at least 1; with
            `steps_per_execution`, the draw comes after the call that reaches them.
            Defaults to 300.
        fraction: See `redraw_removed`. Defaults to 0.1.

    Raises:
        InputError: An argument is out of range.

    Example:
        >>> model = models.build("conv2", (8, 8, 3), method="iterand")
        >>> model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(True))
        >>> images, labels = np.ones((8, 8, 8, 3)), np.zeros(8)
        >>> redraws = [KernelRedraws(steps=1)]
        >>> run = model.fit(images, labels, callbacks=redraws, verbose=0)

    Reference:
        - Chijiwa et al., 2021.
    """

    def __init__(self, steps: int = 300, fraction: float = 0.1):
        super().__init__()
        self.steps = check_integer("steps", steps, minimum=1)
        self.fraction = check_fraction("fraction", fraction)

    def on_train_begin(self, logs=None):
        """Forgets the draws of another training."""
        self._done = None

    def on_epoch_begin(self, epoch, logs=None):
        """Counts earlier draws, after other callbacks have restored a training."""
        self._done = self._due() if self._done is None else self._done

    def on_train_batch_end(self, batch, logs=None):
        """Draws after every `steps` steps."""
        if self._due() > self._done:
            self._done = self._due()
            redraw_removed(self.model, self._done, self.fraction)

    def _due(self):
        return _step(self.model) // self.steps


def _step(model):
    return int(keras.ops.convert_to_numpy(model.optimizer.iterations))


def _assign(weights, number):
    for weight in weights:
        weight.draw.assign(number)
