"""The supermask fully connected layer."""

from __future__ import annotations

import keras
from keras import ops

from tfsupermask.layers.supermask import SupermaskMixin


@keras.saving.register_keras_serializable(package="tfsupermask")
class SupermaskDense(SupermaskMixin, keras.layers.Dense):
    """Fully connected layer that learns which of its frozen weights to keep.

    Args:
        units: Number of outputs, at least 1.
        sparsity: Fraction of the weights removed, in [0, 1). Defaults to 0.5.
        ranking: `"magnitude"` (default), `"score"`, `"signed"` or `"stochastic"`, see
            `SupermaskMixin`.
        score_initializer: Keras initializer of the scores. Defaults to
            U(-1/√fan_in, 1/√fan_in).
        use_bias: Whether to train a bias. Defaults to `False`.
        **kwargs: Everything that `keras.layers.Dense` takes: `activation`,
            `kernel_initializer`, ...

    Input shape:
        `(batch, ..., inputs)`.

    Output shape:
        `(batch, ..., units)`.

    Attributes:
        kernel: Frozen weights (inputs, units).
        score: Trainable float32 scores, shaped like the kernel.
        mask: Zeros and ones, shaped like the kernel.

    Raises:
        InputError: `sparsity` or `ranking` is out of range.

    Example:
        >>> layer = SupermaskDense(10, sparsity=0.5)
        >>> layer(np.zeros((8, 256))).shape
        TensorShape([8, 10])

    Reference:
        - Thesis §3.2; Ramanujan et al., 2020.
    """

    def call(self, inputs, training=None):
        """Multiplies with the masked kernel."""
        return self.add_bias_and_activate(ops.matmul(inputs, self.masked_kernel()))
