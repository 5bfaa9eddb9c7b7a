"""The supermask transposed convolution."""

from __future__ import annotations

import keras
from keras import ops

from tfsupermask.layers.supermask import SupermaskMixin


@keras.saving.register_keras_serializable(package="tfsupermask")
class SupermaskConv2DTranspose(SupermaskMixin, keras.layers.Conv2DTranspose):
    """Transposed 2D convolution that learns which of its frozen weights to keep.

    Args:
        filters: Number of filters, at least 1.
        kernel_size: Height and width of the filters in pixels, an integer or a pair.
        sparsity: Fraction of the weights removed, in [0, 1). Defaults to 0.5.
        ranking: `"magnitude"` (default), `"score"`, `"signed"` or `"stochastic"`, see
            `SupermaskMixin`.
        score_initializer: Keras initializer of the scores. Defaults to
            U(-1/√fan_in, 1/√fan_in).
        use_bias: Whether to train a bias. Defaults to `False`.
        **kwargs: Everything that `keras.layers.Conv2DTranspose` takes: `strides`,
            `padding`, `output_padding`, `activation`, `kernel_initializer`, ...

    Input shape:
        `(batch, height, width, channels)`; channels first as in
        `keras.layers.Conv2DTranspose`.

    Output shape:
        `(batch, new_height, new_width, filters)`.

    Attributes:
        kernel: Frozen weights (height, width, filters, channels).
        score: Trainable float32 scores, shaped like the kernel.
        mask: Zeros and ones, shaped like the kernel.

    Raises:
        InputError: `sparsity` or `ranking` is out of range.

    Example:
        >>> layer = SupermaskConv2DTranspose(4, 3, strides=2, padding="same")
        >>> layer(np.zeros((8, 16, 16, 8))).shape
        TensorShape([8, 32, 32, 4])

    Reference:
        - Ramanujan et al., 2020, applied to upsampling.
    """

    def call(self, inputs):
        """Convolves with the masked kernel, transposed."""
        outputs = ops.conv_transpose(
            inputs,
            self.masked_kernel(),
            strides=list(self.strides),
            padding=self.padding,
            output_padding=self.output_padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
        return self.add_bias_and_activate(outputs)
