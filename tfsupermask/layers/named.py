"""The supermask layers that have names: Keras' own, without a bias unless asked."""

from __future__ import annotations

import keras
from keras import ops

from tfsupermask.layers.supermask import SupermaskMixin, masks_applied, named


class _WithoutBias(SupermaskMixin):
    def __init__(self, *args, use_bias=False, **kwargs):
        super().__init__(*args, use_bias=use_bias, **kwargs)


@named
class SupermaskDense(_WithoutBias, keras.layers.Dense):
    """Fully connected layer that learns which of its frozen weights to keep.

    Args:
        units: Number of outputs, at least 1.
        sparsity: Fraction of the weights removed, in [0, 1). Defaults to 0.5.
        method: What selects them, `"edge_popup"` (default) or another one, see
            `SupermaskMixin`.
        score_initializer: Keras initializer of the scores. Defaults to
            U(-1/√fan_in, 1/√fan_in).
        use_bias: Whether to train a bias. Defaults to `False`.
        **kwargs: Everything else that `keras.layers.Dense` takes.

    Input shape:
        `(batch, ..., inputs)`.

    Output shape:
        `(batch, ..., units)`.

    Attributes:
        kernel: Frozen weights (inputs, units).
        score: Trainable float32 scores, shaped like the kernel.
        mask: Zeros and ones, shaped like the kernel.

    Raises:
        InputError: `sparsity` or `method` is not as above.

    Example:
        >>> layer = SupermaskDense(10, sparsity=0.5)
        >>> layer(np.zeros((8, 256))).shape
        TensorShape([8, 10])

    Reference:
        - Thesis §3.2; Ramanujan et al., 2020.
    """


@named
class SupermaskConv1D(_WithoutBias, keras.layers.Conv1D):
    """1D convolution that learns which of its frozen weights to keep.

    Args:
        filters: Number of filters, at least 1.
        kernel_size: Length of the filters in steps, an integer.
        sparsity: Fraction of the weights removed, in [0, 1). Defaults to 0.5.
        method: What selects them, `"edge_popup"` (default) or another one, see
            `SupermaskMixin`.
        score_initializer: Keras initializer of the scores. Defaults to
            U(-1/√fan_in, 1/√fan_in).
        use_bias: Whether to train a bias. Defaults to `False`.
        **kwargs: Everything else that `keras.layers.Conv1D` takes.

    Input shape:
        `(batch, steps, channels)`; channels first as in Keras.

    Output shape:
        `(batch, new_steps, filters)`.

    Attributes:
        kernel: Frozen weights (length, channels / groups, filters).
        score: Trainable float32 scores, shaped like the kernel.
        mask: Zeros and ones, shaped like the kernel.

    Raises:
        InputError: `sparsity` or `method` is not as above.

    Example:
        >>> layer = SupermaskConv1D(8, 3, sparsity=0.7, padding="causal")
        >>> layer(np.zeros((2, 20, 4))).shape
        TensorShape([2, 20, 8])
        >>> float(tf.reduce_sum(layer.mask))
        29.0

    Reference:
        - Thesis §3.2; Ramanujan et al., 2020.
    """


@named
class SupermaskConv2D(_WithoutBias, keras.layers.Conv2D):
    """2D convolution that learns which of its frozen weights to keep.

    Args:
        filters: Number of filters, at least 1.
        kernel_size: Height and width of the filters in pixels, an integer or a pair.
        sparsity: Fraction of the weights removed, in [0, 1). Defaults to 0.5.
        method: What selects them, `"edge_popup"` (default) or another one, see
            `SupermaskMixin`.
        score_initializer: Keras initializer of the scores. Defaults to
            U(-1/√fan_in, 1/√fan_in).
        use_bias: Whether to train a bias. Defaults to `False`.
        **kwargs: Everything else that `keras.layers.Conv2D` takes.

    Input shape:
        `(batch, height, width, channels)`; channels first as in Keras.

    Output shape:
        `(batch, new_height, new_width, filters)`.

    Attributes:
        kernel: Frozen weights (height, width, channels / groups, filters).
        score: Trainable float32 scores, shaped like the kernel.
        mask: Zeros and ones, shaped like the kernel.

    Raises:
        InputError: `sparsity` or `method` is not as above.

    Example:
        >>> layer = SupermaskConv2D(64, 3, sparsity=0.7, padding="same")
        >>> layer(np.zeros((8, 32, 32, 3))).shape
        TensorShape([8, 32, 32, 64])
        >>> len(layer.trainable_weights), float(tf.reduce_sum(layer.mask))
        (1, 518.0)

    Reference:
        - Thesis §3.2; Ramanujan et al., 2020.
    """


@named
class SupermaskConv3D(_WithoutBias, keras.layers.Conv3D):
    """3D convolution that learns which of its frozen weights to keep.

    Args:
        filters: Number of filters, at least 1.
        kernel_size: Depth, height and width of the filters in voxels, an integer or a
            triple.
        sparsity: Fraction of the weights removed, in [0, 1). Defaults to 0.5.
        method: What selects them, `"edge_popup"` (default) or another one, see
            `SupermaskMixin`.
        score_initializer: Keras initializer of the scores. Defaults to
            U(-1/√fan_in, 1/√fan_in).
        use_bias: Whether to train a bias. Defaults to `False`.
        **kwargs: Everything else that `keras.layers.Conv3D` takes.

    Input shape:
        `(batch, depth, height, width, channels)`; channels first as in Keras.

    Output shape:
        `(batch, new_depth, new_height, new_width, filters)`.

    Attributes:
        kernel: Frozen weights (depth, height, width, channels / groups, filters).
        score: Trainable float32 scores, shaped like the kernel.
        mask: Zeros and ones, shaped like the kernel.

    Raises:
        InputError: `sparsity` or `method` is not as above.

    Example:
        >>> layer = SupermaskConv3D(8, 3, sparsity=0.5)
        >>> layer(np.zeros((2, 6, 6, 6, 1))).shape
        TensorShape([2, 4, 4, 4, 8])

    Reference:
        - Thesis §3.2; Ramanujan et al., 2020.
    """


@named
class SupermaskConv2DTranspose(_WithoutBias, keras.layers.Conv2DTranspose):
    """Transposed 2D convolution that learns which of its frozen weights to keep.

    Args:
        filters: Number of filters, at least 1.
        kernel_size: Height and width of the filters in pixels, an integer or a pair.
        sparsity: Fraction of the weights removed, in [0, 1). Defaults to 0.5.
        method: What selects them, `"edge_popup"` (default) or another one, see
            `SupermaskMixin`.
        score_initializer: Keras initializer of the scores. Defaults to
            U(-1/√fan_in, 1/√fan_in).
        use_bias: Whether to train a bias. Defaults to `False`.
        **kwargs: Everything else that `keras.layers.Conv2DTranspose` takes.

    Input shape:
        `(batch, height, width, channels)`; channels first as in Keras.

    Output shape:
        `(batch, new_height, new_width, filters)`.

    Attributes:
        kernel: Frozen weights (height, width, filters, channels).
        score: Trainable float32 scores, shaped like the kernel.
        mask: Zeros and ones, shaped like the kernel.

    Raises:
        InputError: `sparsity` or `method` is not as above.

    Example:
        >>> layer = SupermaskConv2DTranspose(4, 3, strides=2, padding="same")
        >>> layer(np.zeros((8, 16, 16, 8))).shape
        TensorShape([8, 32, 32, 4])

    Reference:
        - Ramanujan et al., 2020, applied to upsampling.
    """


@named
class SupermaskDepthwiseConv2D(_WithoutBias, keras.layers.DepthwiseConv2D):
    """Depthwise 2D convolution that learns which of its frozen weights to keep.

    Args:
        kernel_size: Height and width of the filters in pixels, an integer or a pair.
        sparsity: Fraction of the weights removed, in [0, 1). Defaults to 0.5.
        method: What selects them, `"edge_popup"` (default) or another one, see
            `SupermaskMixin`.
        score_initializer: Keras initializer of the scores. Defaults to
            U(-1/√fan_in, 1/√fan_in).
        use_bias: Whether to train a bias. Defaults to `False`.
        **kwargs: Everything else that `keras.layers.DepthwiseConv2D` takes.

    Input shape:
        `(batch, height, width, channels)`; channels first as in Keras.

    Output shape:
        `(batch, new_height, new_width, channels * depth_multiplier)`.

    Attributes:
        kernel: Frozen weights (height, width, channels, depth_multiplier).
        score: Trainable float32 scores, shaped like the kernel.
        mask: Zeros and ones, shaped like the kernel.

    Raises:
        InputError: `sparsity` or `method` is not as above.

    Example:
        >>> layer = SupermaskDepthwiseConv2D(3, sparsity=0.5, padding="same")
        >>> layer(np.zeros((8, 32, 32, 16))).shape
        TensorShape([8, 32, 32, 16])
        >>> float(tf.reduce_sum(layer.mask))
        72.0

    Reference:
        - Ramanujan et al., 2020, applied to one filter a channel.
    """


@named
class SupermaskSeparableConv2D(_WithoutBias, keras.layers.SeparableConv2D):
    """Depthwise, then 1×1 convolution, each with a mask of its own.

    Args:
        filters: Number of filters, at least 1.
        kernel_size: Height and width of the filters in pixels, an integer or a pair.
        sparsity: Fraction of the weights removed, in [0, 1), of each kernel; or a pair
            for the depthwise and the pointwise kernel. Defaults to 0.5.
        method: What selects them, `"edge_popup"` (default) or another one, see
            `SupermaskMixin`.
        score_initializer: Keras initializer of the scores. Defaults to
            U(-1/√fan_in, 1/√fan_in).
        use_bias: Whether to train a bias. Defaults to `False`.
        **kwargs: Everything else that `keras.layers.SeparableConv2D` takes.

    Input shape:
        `(batch, height, width, channels)`; channels first as in Keras.

    Output shape:
        `(batch, new_height, new_width, filters)`.

    Attributes:
        masked_weights: The two kernels, each with its scores and its mask.

    Raises:
        InputError: `sparsity` or `method` is not as above.

    Example:
        >>> layer = SupermaskSeparableConv2D(32, 3, sparsity=(0.0, 0.5))
        >>> layer(np.zeros((8, 32, 32, 16))).shape
        TensorShape([8, 30, 30, 32])
        >>> [float(tf.reduce_sum(weight.mask)) for weight in layer.masked_weights]
        [144.0, 256.0]

    Reference:
        - Ramanujan et al., 2020, applied to both kernels.
    """


@named
class SupermaskSpectralNormalization(
    SupermaskMixin, keras.layers.SpectralNormalization
):
    """Spectral normalisation of a masked kernel, in evaluation as in training.

    The plain layer stores the normalised kernel while it trains; a frozen kernel stays
    as it is, and is normalised whenever it is used.

    Args:
        layer: The layer whose kernel is masked.
        power_iterations: Defaults to 1.
        **kwargs: The arguments of `SupermaskMixin`.

    Example:
        >>> dense = keras.layers.Dense(4)
        >>> layer = SupermaskSpectralNormalization(dense, sparsity=0.5)
        >>> layer(np.ones((2, 8))).shape
        TensorShape([2, 4])

    Reference:
        - Miyato et al., 2018, "Spectral normalization for GANs".
    """

    def call(self, inputs, training=False):
        """Computes what the layer inside computes with the normalised kernel."""
        with masks_applied(self.masked_weights, self):
            if not training:
                self.kernel.assign(self.normalized_weights()[1])
            return super().call(inputs, training=training)

    def effective_kernels(self):
        """Returns the normalised masked kernel."""
        with masks_applied(self.masked_weights):
            return [ops.convert_to_tensor(self.normalized_weights()[1])]
