"""Which weights of a Keras layer are kernels, and how they are laid out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras.src.layers.convolutional.base_conv_transpose import BaseConvTranspose
from keras.src.layers.convolutional.base_depthwise_conv import BaseDepthwiseConv

from tfsupermask.ops import compute_fans

_KERNEL_WORDS = {"kernel", "weight", "weights", "w", "embedding", "embeddings"}
# What layers call the initializers of their kernels.
_INITIALIZERS = {
    "kernel": ("kernel_initializer", "depthwise_initializer"),
    "depthwise_kernel": ("depthwise_initializer",),
    "pointwise_kernel": ("pointwise_initializer",),
    "recurrent_kernel": ("recurrent_initializer",),
    "embeddings": ("embeddings_initializer",),
}


def is_kernel(layer: keras.Layer, variable: keras.Variable) -> bool:
    """Returns whether a weight is a kernel, and masked unless somebody says otherwise.

    It is one if it has floating numbers and at least two dimensions, and if its name
    ends in kernel, weight, weights, w, embedding or embeddings. Biases, normalisations,
    tokens and states are none, whatever their shapes.

    Args:
        layer: The layer that has the weight.
        variable: The weight.

    Example:
        >>> layer = keras.layers.GRU(5)
        >>> layer.build((None, 3, 2))
        >>> [(v.name, is_kernel(layer, v)) for v in layer.weights]
        [('kernel', True), ('recurrent_kernel', True), ('bias', False)]
    """
    return (
        len(variable.shape) >= 2
        and keras.backend.is_float_dtype(variable.dtype)
        and variable.name.split("_")[-1] in _KERNEL_WORDS
    )


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A kernel of a layer, or of a layer inside it.

    Attributes:
        variable: The weights.
        owner: The layer that has the weights.
        name: Where it is in the outer layer: `"kernel"`, `"query/kernel"`, ...
        position: Its number among all weights of the outer layer.

    Example:
        >>> layer = keras.layers.Dense(3)
        >>> layer.build((None, 8))
        >>> kernels_of(layer)[0].name, kernels_of(layer)[0].fans
        ('kernel', (8, 3))
    """

    variable: keras.Variable
    owner: keras.Layer
    name: str
    position: int

    @property
    def layout(self) -> str:
        """`"regular"` (..., in, out), `"depthwise"` (..., in, multiplier), ...

        Or `"transposed"` (..., out, in), `"embeddings"` (words, out), `"einsum"`.
        """
        if isinstance(self.owner, keras.layers.EinsumDense):
            return "einsum"
        if isinstance(self.owner, BaseConvTranspose):
            return "transposed"
        if (
            isinstance(self.owner, BaseDepthwiseConv)
            or "depthwise" in self.variable.name
        ):
            return "depthwise"
        named = self.variable.name.startswith("embedding")
        return "embeddings" if named else "regular"

    @property
    def fans(self) -> tuple[int, int]:
        """Numbers of inputs and outputs of one weight's unit, (fan_in, fan_out).

        Of a depthwise convolution one input channel reaches each output; of embeddings
        one word does.
        """
        shape = tuple(self.variable.shape)
        if len(shape) < 2:
            shape = (1, *shape)
        if self.layout == "einsum":
            return _einsum_fans(self.owner.equation, shape)
        *field, inputs, outputs = shape
        if self.layout == "transposed":
            inputs, outputs = outputs, inputs
        elif self.layout == "depthwise":
            inputs, outputs = 1, inputs * outputs
        elif self.layout == "embeddings":
            inputs = 1
        return compute_fans((*field, inputs, outputs))

    def as_matrix(self) -> np.ndarray:
        """Returns the numbers as (inputs of one output, outputs)."""
        values = keras.ops.convert_to_numpy(self.variable)
        if self.layout == "transposed":
            values = np.swapaxes(values, -1, -2)
        elif self.layout == "depthwise":
            values = values.reshape(*values.shape[:-2], -1)
        elif self.layout == "einsum":
            order = np.argsort(_is_output(self.owner.equation), kind="stable")
            return values.transpose(order).reshape(self.fans)
        return values.reshape(-1, values.shape[-1])

    @property
    def initializer_name(self) -> str | None:
        """What the owner calls the initializer of the kernel, `None` without one."""
        names = _INITIALIZERS.get(self.variable.name, ())
        return next((name for name in names if hasattr(self.owner, name)), None)

    @property
    def initializer(self) -> keras.initializers.Initializer | None:
        """What the owner says the kernel is drawn by; it may be set."""
        return self.initializer_name and getattr(self.owner, self.initializer_name)

    def draw_by(self, initializer: keras.initializers.Initializer) -> None:
        """Draws the kernel anew; the owner's config then says how."""
        self.variable.assign(initializer(self.variable.shape, self.variable.dtype))
        self.remember(initializer)

    def remember(self, initializer: keras.initializers.Initializer) -> None:
        """Lets the owner's config say by what the kernel was drawn."""
        if self.initializer_name is not None:
            setattr(self.owner, self.initializer_name, initializer)


def _is_output(equation):
    """Returns for each dimension of an einsum's kernel whether the output has it."""
    inputs, outputs = equation.replace(".", "").split("->")
    first, kernel = inputs.split(",")
    return [letter in outputs or letter not in first for letter in kernel]


def _einsum_fans(equation, shape):
    fans = [1, 1]
    for is_output, size in zip(_is_output(equation), shape, strict=True):
        fans[is_output] *= size
    return tuple(fans)


class MaskVariables(keras.Layer):
    """What a mask is made of, as a layer, so that Keras saves it with the others."""

    def __init__(self, name, shape, initializer, kept):
        super().__init__(name=name, dtype="float32")
        # Ranking needs float32: in half precision scores would tie by the thousand.
        self.score = self.add_weight(
            name="score", shape=shape, initializer=initializer, autocast=False
        )
        self.num_kept = self.add_weight(
            name="num_kept",
            shape=(),
            dtype="int32",
            initializer=keras.initializers.Constant(kept),
            trainable=False,
        )
        self.built = True
        self.read_by_name = False

    def load_own_variables(self, store):
        """Reads both; older files have none, and the layer has read the score."""
        read, self.read_by_name = self.read_by_name, False
        if len(store.keys()) or not read:
            super().load_own_variables(store)


def weights_in(layer: keras.Layer) -> list[tuple[keras.Layer, keras.Variable]]:
    """Returns a layer's `weights`, each with the layer inside that owns it."""
    found = {}
    for owner in layer._flatten_layers():
        if isinstance(owner, MaskVariables):
            continue
        for variable in [*owner._trainable_variables, *owner._non_trainable_variables]:
            # A wrapper may hold what is the inner layer's: the inner one owns it.
            found[id(variable)] = (owner, variable)
    return [found[id(each)] for each in layer.weights if id(each) in found]


def kernels_of(
    layer: keras.Layer,
    which: Callable[[keras.Layer, keras.Variable], bool] | Sequence[int] = is_kernel,
) -> tuple[Kernel, ...]:
    """Returns the kernels of a layer, those of the layers inside it included.

    Args:
        layer: Any Keras layer; of one that is not built none are found.
        which: Function that says of a layer and its weight whether it is one, or the
            positions of the kernels among the weights. Defaults to `is_kernel`.

    Example:
        >>> layer = keras.layers.SeparableConv2D(8, 3)
        >>> layer.build((None, 9, 9, 4))
        >>> [kernel.name for kernel in kernels_of(layer)]
        ['depthwise_kernel', 'pointwise_kernel']
    """
    paths = {layer: ""} | {part: f"{path}/" for part, path in paths_in(layer).items()}
    return tuple(
        Kernel(variable, owner, paths[owner] + variable.name, position)
        for position, (owner, variable) in enumerate(weights_in(layer))
        if (which(owner, variable) if callable(which) else position in which)
    )


def paths_in(layer: keras.Layer) -> dict[keras.Layer, str]:
    """Returns the layers inside a layer with their paths, such as `"outer/inner"`."""
    # Not the variables' paths, which do not know all layers in a loaded model.
    paths: dict[keras.Layer, str] = {}

    def walk(outer, prefix):
        for inner in outer._flatten_layers(include_self=False, recursive=False):
            if inner not in paths:
                paths[inner] = prefix + inner.name
                walk(inner, f"{paths[inner]}/")

    walk(layer, "")
    return paths
