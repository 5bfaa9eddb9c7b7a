"""The kernels among the weights of a Keras layer, and their layouts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf
from keras.src.layers.convolutional.base_conv_transpose import BaseConvTranspose
from keras.src.layers.convolutional.base_depthwise_conv import BaseDepthwiseConv

from tfsupermask.ops import compute_fans

_KERNEL_WORDS = {"kernel", "weight", "weights", "w", "embedding", "embeddings"}
# The names of the kernels' initializers in layers.
_INITIALIZERS = {
    "kernel": ("kernel_initializer", "depthwise_initializer"),
    "depthwise_kernel": ("depthwise_initializer",),
    "pointwise_kernel": ("pointwise_initializer",),
    "recurrent_kernel": ("recurrent_initializer",),
    "embeddings": ("embeddings_initializer",),
}


def is_kernel(layer: keras.Layer, variable: keras.Variable) -> bool:
    """Returns whether a weight is a kernel, which is masked by default.

    A kernel has floating numbers, at least two dimensions, and a name that ends in
    kernel, weight, weights, w, embedding or embeddings. So biases, normalisations,
    tokens and states are not kernels, whatever their shapes.

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
        name: Its path in the outer layer: `"kernel"`, `"query/kernel"`, ...
        position: Its index among all weights of the outer layer.

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
        if (
            isinstance(self.owner, keras.layers.EinsumDense)
            and self.variable.name == "kernel"
        ):
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
        """Number of inputs of an output, and of outputs of an input: (fan_in, fan_out).

        In a depthwise convolution an output has one input channel; in embeddings it has
        one word.
        """
        shape = tuple(self.variable.shape)
        shape = (1,) * (2 - len(shape)) + shape
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
        """Name of the kernel's initializer in the owner, `None` without one."""
        names = _INITIALIZERS.get(self.variable.name, ())
        return next((name for name in names if hasattr(self.owner, name)), None)

    @property
    def initializer(self) -> keras.initializers.Initializer | None:
        """The kernel's initializer according to the owner, `None` without one."""
        return self.initializer_name and getattr(self.owner, self.initializer_name)

    def draw_by(self, initializer: keras.initializers.Initializer) -> None:
        """Draws the kernel with an initializer, which the owner's config then names."""
        self.variable.assign(draw_like(self.variable, initializer))
        self.remember(initializer)

    def remember(self, initializer: keras.initializers.Initializer) -> None:
        """Notes in the owner's config that this initializer drew the kernel."""
        if self.initializer_name is not None:
            setattr(self.owner, self.initializer_name, initializer)


def draw_like(
    values: np.ndarray | keras.Variable, initializer: keras.initializers.Initializer
) -> np.ndarray:
    """Returns an array of the shape and dtype of `values`, drawn by an initializer."""
    dtype = keras.backend.standardize_dtype(values.dtype)
    with tf.device("CPU:0"):  # devices differ in the last bits of normal numbers
        return keras.ops.convert_to_numpy(initializer(values.shape, dtype))


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
    """The variables of a mask, in a layer, so that Keras saves them with the model."""

    def __init__(self, name, shape, initializer, kept, method):
        super().__init__(name=name, dtype="float32")
        if method.has_scores:
            # Ranking needs float32: in half precision many scores would be equal.
            self.score = self.add_weight(
                name="score",
                shape=shape,
                initializer=initializer,
                autocast=False,
                trainable=not method.trains_kernel,
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

    def quantize(self, *args, **kwargs):
        """Refuses, in words for the warning that `Model.quantize` makes of it."""
        raise NotImplementedError(
            f"The layer of '{self.name}' is not quantized: it has a mask. `fold` the "
            "model first."
        )

    def load_own_variables(self, store):
        """Reads both, unless the layer has read the score from an older file."""
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
            # A wrapper may also hold the inner layer's variables: the inner one wins.
            found[id(variable)] = (owner, variable)
    return [found[id(each)] for each in layer.weights if id(each) in found]


def kernels_of(
    layer: keras.Layer,
    which: Callable[[keras.Layer, keras.Variable], bool] | Sequence[int] = is_kernel,
) -> tuple[Kernel, ...]:
    """Returns the kernels of a layer and of the layers inside it.

    Args:
        layer: Any Keras layer; if it is not built, it has no kernels yet.
        which: Function of a layer and one of its weights that returns whether it is a
            kernel, or the kernels' positions among the weights. Defaults to
            `is_kernel`.

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
