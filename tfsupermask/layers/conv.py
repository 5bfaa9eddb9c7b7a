"""The supermask convolutions."""

from __future__ import annotations

import keras
from keras import ops

from tfsupermask.layers.supermask import SupermaskMixin


@keras.saving.register_keras_serializable(package="tfsupermask")
class SupermaskConv1D(SupermaskMixin, keras.layers.Conv1D):
    """1D convolution that learns which of its frozen weights to keep.

    Args:
        filters: Number of filters, at least 1.
        kernel_size: Length of the filters in steps, an integer.
        sparsity: Fraction of the weights removed, in [0, 1). Defaults to 0.5.
        ranking: `"magnitude"` (default), `"score"`, `"signed"` or `"stochastic"`, see
            `SupermaskMixin`.
        score_initializer: Keras initializer of the scores. Defaults to
            U(-1/√fan_in, 1/√fan_in).
        use_bias: Whether to train a bias. Defaults to `False`.
        **kwargs: Everything that `keras.layers.Conv1D` takes: `strides`, `padding`,
            `dilation_rate`, `groups`, `activation`, `kernel_initializer`, ...

    Input shape:
        `(batch, steps, channels)`; channels first as in `keras.layers.Conv1D`.

    Output shape:
        `(batch, new_steps, filters)`.

    Attributes:
        kernel: Frozen weights (length, channels / groups, filters).
        score: Trainable float32 scores, shaped like the kernel.
        mask: Zeros and ones, shaped like the kernel.

    Raises:
        InputError: `sparsity` or `ranking` is out of range.

    Example:
        >>> layer = SupermaskConv1D(8, 3, sparsity=0.7, padding="causal")
        >>> layer(np.zeros((2, 20, 4))).shape
        TensorShape([2, 20, 8])
        >>> float(tf.reduce_sum(layer.mask))
        29.0

    Reference:
        - Thesis §3.2; Ramanujan et al., 2020.
    """

    def call(self, inputs):
        """Convolves with the masked kernel."""
        padding = self.padding
        if padding == "causal":
            inputs = ops.pad(inputs, self._compute_causal_padding())
            padding = "valid"
        outputs = ops.conv(
            inputs,
            self.masked_kernel(),
            strides=list(self.strides),
            padding=padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
        return self.add_bias_and_activate(outputs)


@keras.saving.register_keras_serializable(package="tfsupermask")
class SupermaskConv2D(SupermaskMixin, keras.layers.Conv2D):
    """2D convolution that learns which of its frozen weights to keep.

    Args:
        filters: Number of filters, at least 1.
        kernel_size: Height and width of the filters in pixels, an integer or a pair.
        sparsity: Fraction of the weights removed, in [0, 1). Defaults to 0.5.
        ranking: `"magnitude"` (default), `"score"`, `"signed"` or `"stochastic"`, see
            `SupermaskMixin`.
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
        >>> layer = SupermaskConv2D(64, 3, sparsity=0.7, padding="same")
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


@keras.saving.register_keras_serializable(package="tfsupermask")
class SupermaskConv3D(SupermaskMixin, keras.layers.Conv3D):
    """3D convolution that learns which of its frozen weights to keep.

    Args:
        filters: Number of filters, at least 1.
        kernel_size: Depth, height and width of the filters in voxels, an integer or a
            triple.
        sparsity: Fraction of the weights removed, in [0, 1). Defaults to 0.5.
        ranking: `"magnitude"` (default), `"score"`, `"signed"` or `"stochastic"`, see
            `SupermaskMixin`.
        score_initializer: Keras initializer of the scores. Defaults to
            U(-1/√fan_in, 1/√fan_in).
        use_bias: Whether to train a bias. Defaults to `False`.
        **kwargs: Everything that `keras.layers.Conv3D` takes: `strides`, `padding`,
            `dilation_rate`, `groups`, `activation`, `kernel_initializer`, ...

    Input shape:
        `(batch, depth, height, width, channels)`; channels first as in
        `keras.layers.Conv3D`.

    Output shape:
        `(batch, new_depth, new_height, new_width, filters)`.

    Attributes:
        kernel: Frozen weights (depth, height, width, channels / groups, filters).
        score: Trainable float32 scores, shaped like the kernel.
        mask: Zeros and ones, shaped like the kernel.

    Raises:
        InputError: `sparsity` or `ranking` is out of range.

    Example:
        >>> layer = SupermaskConv3D(8, 3, sparsity=0.5)
        >>> layer(np.zeros((2, 6, 6, 6, 1))).shape
        TensorShape([2, 4, 4, 4, 8])

    Reference:
        - Thesis §3.2; Ramanujan et al., 2020.
    """

    def convolution_op(self, inputs, kernel):
        """Convolves with the masked kernel instead of `kernel`."""
        return super().convolution_op(inputs, self.masked_kernel())
