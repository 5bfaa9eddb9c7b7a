"""The kernels of Keras' layers: what they are called and how they are laid out."""

from __future__ import annotations

import dataclasses

import keras

from tfsupermask.ops import compute_fans


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A kernel of a kind of Keras layer.

    Attributes:
        attribute: Its name in the layer. Defaults to `"kernel"`.
        initializer: The name of its initializer in the layer and in its config.
            Defaults to `"kernel_initializer"`.
        layout: `"regular"` (..., in, out), `"depthwise"` (..., in, multiplier) or
            `"transposed"` (..., out, in).

    Example:
        >>> Kernel()
        Kernel(attribute='kernel', initializer='kernel_initializer', layout='regular')
    """

    attribute: str = "kernel"
    initializer: str = "kernel_initializer"
    layout: str = "regular"


_DEPTHWISE, _POINTWISE = "depthwise_initializer", "pointwise_initializer"
_KERNELS = {
    keras.layers.Conv1D: (Kernel(),),
    keras.layers.Conv2D: (Kernel(),),
    keras.layers.Conv3D: (Kernel(),),
    keras.layers.Conv2DTranspose: (Kernel(layout="transposed"),),
    keras.layers.DepthwiseConv2D: (Kernel("kernel", _DEPTHWISE, "depthwise"),),
    keras.layers.SeparableConv2D: (
        Kernel("depthwise_kernel", _DEPTHWISE, "depthwise"),
        Kernel("pointwise_kernel", _POINTWISE),
    ),
    keras.layers.Dense: (Kernel(),),
}


def plain_class(layer: keras.Layer) -> type[keras.Layer] | None:
    """Returns Keras' own class of a layer, `None` unless it is one that can be masked.

    Args:
        layer: Any Keras layer.

    Example:
        >>> plain_class(SupermaskDense(3)).__name__
        'Dense'
    """
    return next((base for base in type(layer).__mro__ if base in _KERNELS), None)


def kernels_of(layer: keras.Layer) -> tuple[Kernel, ...]:
    """Returns the kernels of a layer that can be masked, of any other layer none.

    Args:
        layer: Any Keras layer, built or not.

    Example:
        >>> [k.attribute for k in kernels_of(keras.layers.SeparableConv2D(8, 3))]
        ['depthwise_kernel', 'pointwise_kernel']
    """
    return _KERNELS.get(plain_class(layer), ())


def kernel_fans(layer: keras.Layer, attribute: str = "kernel") -> tuple[int, int]:
    """Returns `(fan_in, fan_out)` of a built layer's kernel, whatever its layout.

    A depthwise convolution counts like the grouped convolution that it is: one input
    channel reaches each output.

    Args:
        layer: A layer of a kind that `kernels_of` knows.
        attribute: The kernel's name in the layer. Defaults to `"kernel"`.

    Example:
        >>> layer = keras.layers.DepthwiseConv2D(3)
        >>> layer.build((None, 8, 8, 32))
        >>> kernel_fans(layer)
        (9, 288)
    """
    layouts = {kernel.attribute: kernel.layout for kernel in kernels_of(layer)}
    *field, inputs, outputs = getattr(layer, attribute).shape
    if layouts[attribute] == "transposed":
        inputs, outputs = outputs, inputs
    elif layouts[attribute] == "depthwise":
        inputs, outputs = 1, inputs * outputs
    return compute_fans((*field, inputs, outputs))
