"""What the networks are made of."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import keras

from tfsupermask._validation import fail
from tfsupermask.layers import SupermaskConv2D, SupermaskDense
from tfsupermask.ops import derive_seed


class Parts:
    """Makes the layers of one network.

    Kernels start as Xavier normal, scores as Kaiming-uniform (a = √5). Both are a pure
    function of the seed and of the layer's place among the supermask layers. Layers
    have to be made in the order in which `keras.Model.layers` will list them, as
    `tfsupermask.init.initialize` counts places there.

    Args:
        sparsity: Fraction of each layer's weights removed, in [0, 1).
        method: a `tfsupermask.layers.Method` or its name.
        seed: Non-negative integer.

    Raises:
        InputError: In the layers: `sparsity` or `method` is out of range.

    Example:
        >>> parts = Parts(sparsity=0.5, method="edge_popup", seed=0)
        >>> conv = parts.conv(64, 3, "conv1", activation="relu")
        >>> conv(np.zeros((8, 32, 32, 3))).shape
        TensorShape([8, 32, 32, 64])
    """

    def __init__(self, sparsity: float, method: str, seed: int):
        self._mask = {"sparsity": sparsity, "method": method}
        self._seed = seed
        self._places = itertools.count()

    def conv(self, filters, kernel_size, name, **kwargs) -> SupermaskConv2D:
        """Returns a convolution with same padding and without bias."""
        return SupermaskConv2D(
            filters, kernel_size, name=name, padding="same", **self._next(), **kwargs
        )

    def dense(self, units, name, **kwargs) -> SupermaskDense:
        """Returns a fully connected layer without bias."""
        return SupermaskDense(units, name=name, **self._next(), **kwargs)

    def logits(self, num_classes, name) -> SupermaskDense:
        """Returns the last layer, float32 to keep the loss exact in mixed precision."""
        return self.dense(num_classes, name, dtype="float32")

    def conv_bn(self, x, filters, kernel_size, name, strides=1, *, relu=True):
        """Returns x after convolution, batch normalisation and, unless told, ReLU.

        The normalisation learns no scale and no offset, so that the scores remain all
        that is trained, and uses the statistics of the global batch over replicas.
        """
        x = self.conv(filters, kernel_size, name, strides=strides)(x)
        x = keras.layers.BatchNormalization(
            momentum=0.9,
            epsilon=1e-5,
            center=False,
            scale=False,
            synchronized=True,
            name=_sibling(name, "bn"),
        )(x)
        return keras.layers.ReLU(name=_sibling(name, "relu"))(x) if relu else x

    def _next(self):
        place = next(self._places)
        kernel_seed, score_seed = (
            derive_seed(self._seed, purpose, place) for purpose in ("kernel", "score")
        )
        return {
            **self._mask,
            "kernel_initializer": keras.initializers.VarianceScaling(
                1.0, "fan_avg", "untruncated_normal", kernel_seed
            ),
            "score_initializer": keras.initializers.VarianceScaling(
                1 / 3, "fan_in", "uniform", score_seed
            ),
        }


def _sibling(name, kind):
    """Turns `block1_conv2` into `block1_bn2` and `shortcut` into `shortcut_bn`."""
    return name.replace("conv", kind) if "conv" in name else f"{name}_{kind}"


def check_side(name: str, input_shape: Sequence[int], halvings: int) -> None:
    """Raises unless images can be halved as often as the network `name` does it."""
    if min(input_shape[:2]) < 2**halvings:
        raise fail(
            f"{name} halves the image {halvings} times and needs at least "
            f"{2**halvings} pixels a side.",
            input_shape=input_shape,
        )
