"""Makes layers with kernels and scores from one seed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from tfsupermask import layers
from tfsupermask._on_use import OnUse
from tfsupermask.ops import derive_seed

keras = OnUse("keras")


class SeededLayers:
    """Makes the layers of one network, in the order of `keras.Model.layers`.

    Kernels and scores depend only on the seed and on the layer's place among the
    supermask layers, which `tfsupermask.init.initialize` counts in that order.
    """

    def __init__(
        self, sparsity: float, method: str, seed: int, affine_norm: bool = False
    ):
        self._mask = {"sparsity": sparsity, "method": method}
        self._seed = seed
        self._affine_norm = affine_norm
        self._places = itertools.count()

    def conv(self, filters, kernel_size, name, **kwargs) -> layers.SupermaskConv2D:
        """Returns a convolution with same padding and without bias."""
        return layers.SupermaskConv2D(
            filters, kernel_size, name=name, padding="same", **self._next(), **kwargs
        )

    def conv_bn(self, x, filters, kernel_size, name, strides=1, *, relu=True):
        """Returns x after convolution, batch normalisation and, by default, ReLU."""
        x = self.conv(filters, kernel_size, name, strides=strides)(x)
        # By default without scale and offset, so that only scores are trained.
        x = keras.layers.BatchNormalization(
            momentum=0.9,
            epsilon=1e-5,
            center=self._affine_norm,
            scale=self._affine_norm,
            synchronized=True,
            name=_sibling(name, "bn"),
        )(x)
        return keras.layers.ReLU(name=_sibling(name, "relu"))(x) if relu else x

    def dense(self, units, name, **kwargs) -> layers.SupermaskDense:
        """Returns a fully connected layer without bias."""
        return layers.SupermaskDense(units, name=name, **self._next(), **kwargs)

    def logits(self, num_classes, name) -> layers.SupermaskDense:
        """Returns the last layer, float32 for an exact loss in mixed precision."""
        return self.dense(num_classes, name, dtype="float32")

    def classify(self, x, hidden: Sequence[int], num_classes: int):
        """Returns the logits of x, after hidden fully connected layers with ReLU."""
        for index, units in enumerate(hidden, start=1):
            x = self.dense(units, f"dense{index}", activation="relu")(x)
        return self.logits(num_classes, f"dense{len(hidden) + 1}")(x)

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


def scaled(sizes: Sequence[int], width: float) -> list[int]:
    """Returns numbers of filters or neurons times the width, rounded, at least 1."""
    return [max(1, round(width * size)) for size in sizes]


def _sibling(name, kind):
    """Turns `block1_conv2` into `block1_bn2` and `shortcut` into `shortcut_bn`."""
    return name.replace("conv", kind) if "conv" in name else f"{name}_{kind}"
