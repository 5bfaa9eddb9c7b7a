"""The supermask layers that have names.

They take what the layers of Keras after which they are called take, and what
`SupermaskMixin` does, but `use_bias` defaults to `False`. Shapes are those of Keras;
`kernel` is frozen, `score` trained, `mask` what the kernel is multiplied with (thesis
§3.2; Ramanujan et al., 2020).
"""

from __future__ import annotations

import keras
from keras import ops

from tfsupermask.layers.any_layer import named
from tfsupermask.layers.applying import masks_applied
from tfsupermask.layers.mixin import SupermaskMixin


class _WithoutBias(SupermaskMixin):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **{"use_bias": False, **kwargs})


@named
class SupermaskDense(_WithoutBias, keras.layers.Dense):
    """Fully connected layer that learns which of its frozen weights to keep.

    Example:
        >>> layer = SupermaskDense(10, sparsity=0.5)
        >>> layer(np.zeros((8, 256))).shape
        TensorShape([8, 10])
    """


@named
class SupermaskConv1D(_WithoutBias, keras.layers.Conv1D):
    """1D convolution that learns which of its frozen weights to keep.

    Example:
        >>> layer = SupermaskConv1D(8, 3, sparsity=0.7, padding="causal")
        >>> layer(np.zeros((2, 20, 4))).shape
        TensorShape([2, 20, 8])
        >>> float(tf.reduce_sum(layer.mask))
        29.0
    """


@named
class SupermaskConv2D(_WithoutBias, keras.layers.Conv2D):
    """2D convolution that learns which of its frozen weights to keep.

    Example:
        >>> layer = SupermaskConv2D(64, 3, sparsity=0.7, padding="same")
        >>> layer(np.zeros((8, 32, 32, 3))).shape
        TensorShape([8, 32, 32, 64])
        >>> len(layer.trainable_weights), float(tf.reduce_sum(layer.mask))
        (1, 518.0)
    """


@named
class SupermaskConv3D(_WithoutBias, keras.layers.Conv3D):
    """3D convolution that learns which of its frozen weights to keep.

    Example:
        >>> layer = SupermaskConv3D(8, 3, sparsity=0.5)
        >>> layer(np.zeros((2, 6, 6, 6, 1))).shape
        TensorShape([2, 4, 4, 4, 8])
    """


@named
class SupermaskConv2DTranspose(_WithoutBias, keras.layers.Conv2DTranspose):
    """Transposed 2D convolution that learns which of its frozen weights to keep.

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
        sparsity: One number, or a pair for the depthwise and the pointwise kernel.

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
        *args: Those of `keras.layers.SpectralNormalization`.
        **kwargs: Those of `keras.layers.SpectralNormalization` and of `SupermaskMixin`.

    Example:
        >>> dense = keras.layers.Dense(4)
        >>> layer = SupermaskSpectralNormalization(dense, sparsity=0.5)
        >>> layer(np.ones((2, 8))).shape
        TensorShape([2, 4])

    Reference:
        - Miyato et al., 2018, "Spectral normalization for GANs".
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)

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
