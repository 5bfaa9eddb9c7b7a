"""The supermask convolution."""

from __future__ import annotations

import keras

from tfsupermask.layers.supermask import SupermaskMixin


@keras.saving.register_keras_serializable(package="tfsupermask")
class SupermaskConv2D(SupermaskMixin, keras.layers.Conv2D):
    """2D convolution that learns which of its frozen weights to keep.

    Args:
        filters: Number of filters, at least 1.
        kernel_size: Height and width of the filters in pixels, an integer or a pair.
        sparsity: Fraction of the weights removed, in [0, 1). Defaults to 0.5.
        ranking: `"magnitude"` (default) or `"score"`.
        score_initializer: Keras initializer of the scores. Defaults to
            U(-1/√fan_in, 1/√fan_in).
        use_bias: Whether to train a bias. Defaults to `False`.
        **kwargs: Everything that `keras.layers.Conv2D` takes: `strides`, `padding`,
            `dilation_rate`, `groups`, `activation`, `kernel_initializer`, ...

    Input shape:
        `(batch, height, width, channels)`; channels first as in `keras.layers.Conv2D`.

    Output shape:
        `(batch, new_height, new_width, filters)`.

    Attributes:
        kernel: Frozen weights (height, width, channels / groups, filters).
        score: Trainable float32 scores, shaped like the kernel.
        mask: Zeros and ones, shaped like the kernel.

    Raises:
        InputError: `sparsity` or `ranking` is out of range.

    Example:
    >>> layer = SupermaskConv2D(64, 3, sparsity=0.7, padding="same", activation="relu")
    >>> layer(np.zeros((8, 32, 32, 3))).shape
    TensorShape([8, 32, 32, 64])
    >>> len(layer.trainable_weights), float(tf.reduce_sum(layer.mask))
    (1, 518.0)

    Reference:
        - Thesis §3.2; Ramanujan et al., 2020.
    """

    def convolution_op(self, inputs, kernel):
        """Convolves with the masked kernel instead of `kernel`."""
        return super().convolution_op(inputs, self.masked_kernel())
