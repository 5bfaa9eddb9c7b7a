"""Which convolutions of a model PatchesInit sets, and why it leaves the others."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
from keras.src.layers.convolutional.base_conv import BaseConv
from keras.src.layers.convolutional.base_conv_transpose import BaseConvTranspose
from keras.src.layers.convolutional.base_depthwise_conv import BaseDepthwiseConv
from keras.src.layers.convolutional.base_separable_conv import BaseSeparableConv

from tfsupermask._validation import fail
from tfsupermask.init.observing import Trace
from tfsupermask.layers import Kernel, kernels_of
from tfsupermask.layers.walking import named_layers
from tfsupermask.patches import Window

_SETTABLE = (
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
)
_CONVOLUTIONS = (BaseConv, BaseConvTranspose, BaseDepthwiseConv, BaseSeparableConv)


@dataclasses.dataclass(frozen=True)
class Convolution:
    """A convolution with filters that become patterns."""

    kernel: Kernel  # of a `SeparableConv2D` the depthwise one
    name: str  # as `named_layers` has it
    number: int  # from 1, in the order of first calls, among all that can be set

    @property
    def layer(self) -> keras.Layer:
        """The convolution itself."""
        return self.kernel.owner

    @property
    def depthwise(self) -> bool:
        """Whether each filter sees one channel alone."""
        return self.kernel.layout == "depthwise"

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Height, width and channels of a filter, and the number of filters."""
        *field, channels, filters = self.kernel.variable.shape
        if self.depthwise:
            channels, filters = 1, channels * filters
        return (*field, channels, filters)

    @property
    def window(self) -> Window:
        """How it slides over its input map."""
        layer = self.layer
        return Window(
            layer.kernel_size, layer.strides, layer.padding, layer.dilation_rate
        )

    def set_filters(self, filters: np.ndarray) -> None:
        """Sets the filters to an array (height, width, channels, filters)."""
        variable = self.kernel.variable
        variable.assign(filters.reshape(variable.shape))


def convolutions_in(model: keras.Model) -> dict[keras.Layer, str]:
    """Returns all convolutions of a model with their names."""
    return named_layers(model, lambda layer: isinstance(layer, _CONVOLUTIONS))


def find_convolutions(
    names: dict[keras.Layer, str], trace: Trace, only: tuple[str, ...] | None
) -> tuple[list[Convolution], dict[str, str], int]:
    """Returns the convolutions to set, why others are not, and the last's number."""
    reasons = {layer: _reason_to_skip(layer, trace.received) for layer in names}
    layers = [x for x in trace.received if x in names and not reasons[x]]
    kernels = [kernels_of(layer)[0] for layer in layers]
    found = [
        Convolution(kernel, names[kernel.owner], number)
        for number, kernel in enumerate(kernels, start=1)
    ]
    skipped = {names[layer]: reason for layer, reason in reasons.items() if reason}
    if not found:
        raise fail(
            "`model` must have a convolution of two dimensions larger than 1x1, "
            "ungrouped and channels last.",
            skipped=skipped,
        )
    return _chosen(found, skipped, only), skipped, len(found)


def _reason_to_skip(layer, called):
    """Returns why a convolution cannot be set; an empty text if it can."""
    if isinstance(layer, BaseConvTranspose):
        return "transposed convolution"
    if not isinstance(layer, _SETTABLE):
        return "not a convolution of two dimensions"
    if layer.kernel_size == (1, 1):
        return "1x1 convolution"
    if getattr(layer, "groups", 1) > 1:
        return "grouped convolution"
    if layer.data_format != "channels_last":
        return "channels first"
    if layer not in called:
        return "not called, or only inside a loop"
    return ""


def _chosen(found, skipped, only):
    """Returns the convolutions that `only` names; the others are skipped."""
    if only is None:
        return found
    names = [each.name for each in found]
    unknown = sorted(set(only) - set(names))
    if unknown or not only:
        raise fail(f"`only` must name some of {names}.", only=only)
    skipped |= {name: "not in `only`" for name in names if name not in only}
    return [each for each in found if each.name in only]
