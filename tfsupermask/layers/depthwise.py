"""The supermask convolutions that treat each input channel by itself."""

from __future__ import annotations

import keras
from keras import ops

from tfsupermask.layers.supermask import SupermaskMixin


@keras.saving.register_keras_serializable(package="tfsupermask")
class SupermaskDepthwiseConv2D(SupermaskMixin, keras.layers.DepthwiseConv2D):
    """Depthwise 2D convolution that learns which of its frozen weights to keep.

    Args:
        kernel_size: Height and width of the filters in pixels, an integer or a pair.
        sparsity: Fraction of the weights removed, in [0, 1). Defaults to 0.5.
        ranking: `"magnitude"` (default), `"score"`, `"signed"` or `"stochastic"`, see
            `SupermaskMixin`.
        score_initializer: Keras initializer of the scores. Defaults to
            U(-1/√fan_in, 1/√fan_in).
        use_bias: Whether to train a bias. Defaults to `False`.
        **kwargs: Everything that `keras.layers.DepthwiseConv2D` takes: `strides`,
            `padding`, `dilation_rate`, `depth_multiplier`, `activation`,
            `depthwise_initializer`, ...

    Input shape:
        `(batch, height, width, channels)`; channels first as in
        `keras.layers.DepthwiseConv2D`.

    Output shape:
        `(batch, new_height, new_width, channels * depth_multiplier)`.

    Attributes:
        kernel: Frozen weights (height, width, channels, depth_multiplier).
        score: Trainable float32 scores, shaped like the kernel.
        mask: Zeros and ones, shaped like the kernel.

    Raises:
        InputError: `sparsity` or `ranking` is out of range.

    Example:
        >>> layer = SupermaskDepthwiseConv2D(3, sparsity=0.5, padding="same")
        >>> layer(np.zeros((8, 32, 32, 16))).shape
        TensorShape([8, 32, 32, 16])
        >>> float(tf.reduce_sum(layer.mask))
        72.0

    Reference:
        - Ramanujan et al., 2020, applied to one filter a channel.
    """

    def call(self, inputs):
        """Convolves with the masked kernel."""
        outputs = ops.depthwise_conv(
            inputs,
            self.masked_kernel(),
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
        return self.add_bias_and_activate(outputs)


@keras.saving.register_keras_serializable(package="tfsupermask")
class SupermaskSeparableConv2D(SupermaskMixin, keras.layers.SeparableConv2D):
    """Depthwise, then 1×1 convolution, each with a mask of its own.

    Args:
        filters: Number of filters, at least 1.
        kernel_size: Height and width of the filters in pixels, an integer or a pair.
        sparsity: Fraction of the weights removed, in [0, 1), of each kernel; or a pair
            for the depthwise and the pointwise kernel. Defaults to 0.5.
        ranking: `"magnitude"` (default), `"score"`, `"signed"` or `"stochastic"`, see
            `SupermaskMixin`.
        score_initializer: Keras initializer of the scores. Defaults to
            U(-1/√fan_in, 1/√fan_in).
        use_bias: Whether to train a bias. Defaults to `False`.
        **kwargs: Everything that `keras.layers.SeparableConv2D` takes: `strides`,
            `padding`, `dilation_rate`, `depth_multiplier`, `activation`,
            `depthwise_initializer`, `pointwise_initializer`, ...

    Input shape:
        `(batch, height, width, channels)`; channels first as in
        `keras.layers.SeparableConv2D`.

    Output shape:
        `(batch, new_height, new_width, filters)`.

    Attributes:
        depthwise_kernel: Frozen weights (height, width, channels, depth_multiplier).
        pointwise_kernel: Frozen weights (1, 1, channels * depth_multiplier, filters).
        depthwise_score: Trainable float32 scores, shaped like the depthwise kernel.
        pointwise_score: Trainable float32 scores, shaped like the pointwise kernel.
        masked_weights: The two kernels, each with its mask.

    Raises:
        InputError: `sparsity` or `ranking` is out of range.

    Example:
        >>> layer = SupermaskSeparableConv2D(32, 3, sparsity=(0.0, 0.5))
        >>> layer(np.zeros((8, 32, 32, 16))).shape
        TensorShape([8, 30, 30, 32])
        >>> [float(tf.reduce_sum(weight.mask)) for weight in layer.masked_weights]
        [144.0, 256.0]

    Reference:
        - Ramanujan et al., 2020, applied to both kernels.
    """

    def call(self, inputs):
        """Convolves with the masked kernels."""
        depthwise, pointwise = self.masked_weights
        outputs = ops.separable_conv(
            inputs,
            depthwise.masked(),
            pointwise.masked(),
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
        return self.add_bias_and_activate(outputs)
