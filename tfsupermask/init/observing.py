"""What layers receive and compute: step by step, or as tensors of one graph."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Container, Iterable, Iterator

import keras
import numpy as np
import tensorflow as tf

from tfsupermask._images import ImageArray
from tfsupermask._validation import fail
from tfsupermask.layers import kernels_of
from tfsupermask.layers.walking import check_built


def check_images(
    model: keras.Model,
    images: ImageArray,
    labels: np.ndarray,
    preprocess: Callable[[np.ndarray], np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the labels as int64, and a preprocessed image that fits the model."""
    check_built(model)
    check_array(images, (3, 4, 5), "uif")
    first = preprocess(np.array(images[:1]))  # a copy: some work in place
    # A subclassed model does not say what it takes.
    inputs = [tuple(tensor.shape) for tensor in getattr(model, "inputs", [first])]
    if len(inputs) != 1 or not tf.TensorShape(inputs[0][1:]).is_compatible_with(
        first.shape[1:]
    ):
        raise fail(
            "`images` must have the shape of the model's one input.",
            images=images.shape,
            preprocessed=tuple(first.shape),
            inputs=inputs,
        )
    return check_labels(images, labels), first


def check_labels(images: ImageArray, labels: np.ndarray) -> np.ndarray:
    """Returns the labels as int64 (n,); there must be a class for each image."""
    labels = np.asarray(labels)
    integer = np.issubdtype(labels.dtype, np.integer)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2:
        raise fail(
            "`labels` must be class indices: of one-hot labels, "
            "`labels.argmax(axis=1)`.",
            shape=labels.shape,
        )
    if labels.shape != images.shape[:1] or not integer or labels.min() < 0:
        raise fail(
            f"`labels` must hold one class index of at least 0 for each of the "
            f"{len(images)} images.",
            shape=labels.shape,
            dtype=labels.dtype.name,
        )
    return labels.astype(np.int64)


def check_array(
    images: ImageArray, ranks: Container[int] = range(1, 33), kinds: str = "uifb"
) -> None:
    """Raises unless they are images in an array, or in a file that reads like one."""
    dtype = getattr(images, "dtype", None)
    bfloat16 = getattr(dtype, "name", None) == "bfloat16"
    kind = "f" if bfloat16 else getattr(dtype, "kind", "none")
    if kind not in kinds or images.ndim not in ranks:
        raise fail(
            "`images` must be a NumPy array of numbers (n, height, width, channels).",
            type=type(images).__name__,
            dtype=dtype,
            shape=getattr(images, "shape", None),
        )
    if not len(images):
        raise fail("`images` must hold at least one image.", shape=images.shape)
    try:
        images[np.array([len(images) - 1, 0])]
    except (TypeError, ValueError) as error:  # HDF5
        raise fail(
            "`images` must take indices in any order: read them into memory first.",
            type=type(images).__name__,
        ) from error


@contextlib.contextmanager
def restored(
    variables: Iterable[keras.Variable], unless_done: bool = False
) -> Iterator[None]:
    """Gives variables their values back after the body, or only if the body fails."""
    # Not `value`, which in a layer's call may be masked or of half precision.
    before = [(variable, variable._value.numpy()) for variable in variables]
    done = False
    try:
        yield
        done = unless_done
    finally:
        for variable, value in () if done else before:
            variable._direct_assign(value)


def normalisations_in(
    layers: Iterable[keras.Layer],
) -> list[keras.layers.BatchNormalization]:
    """Returns the batch normalisations among layers."""
    return [x for x in layers if isinstance(x, keras.layers.BatchNormalization)]


def statistics_restored(
    layers: Iterable[keras.layers.BatchNormalization],
) -> contextlib.AbstractContextManager[None]:
    """Gives batch normalisations their statistics back after the body."""
    return restored(v for layer in layers for v in layer.non_trainable_variables)


def take_statistics(layer: keras.layers.BatchNormalization, maps: np.ndarray) -> None:
    """Gives a batch normalisation the statistics of float32 maps that it receives.

    Images that make maps that are not finite do not count, unless all do.
    """
    finite = np.isfinite(maps).reshape(len(maps), -1).all(axis=1)
    if finite.any() and not finite.all():
        maps = maps[finite]
    others = tuple(np.delete(np.arange(maps.ndim), layer.axis))
    layer.moving_mean.assign(maps.mean(others, np.float64))
    layer.moving_variance.assign(maps.var(others, np.float64))


@contextlib.contextmanager
def borrowed_calls(
    layers: Iterable[keras.Layer], around: Callable[[keras.Layer, Callable], Callable]
) -> Iterator[None]:
    """Puts `around(layer, call)` in place of every layer's `call` in the body."""
    # There, every `tf.function` is a part of what calls it.
    eager, borrowed = tf.config.functions_run_eagerly(), []
    tf.config.run_functions_eagerly(True)
    try:
        for layer in layers:
            borrowed.append((layer, vars(layer).get("call")))
            layer.call = around(layer, layer.call)
        yield
    finally:
        tf.config.run_functions_eagerly(eager)
        for layer, own in borrowed:
            vars(layer).pop("call", None)
            if own is not None:
                layer.call = own


@contextlib.contextmanager
def watched(
    model: keras.Model, see: Callable[[keras.Layer, Callable[[], np.ndarray]], None]
) -> Iterator[None]:
    """Calls `see(layer, product)` right before each dense layer and convolution.

    `product()` returns what the layer's kernels, as they are then, make of its inputs,
    without bias and activation; all of it must be finite. In the body, batch
    normalisations use the statistics of what they receive, as in training. Layers in a
    graph of their own are not seen.
    """
    layers = model._flatten_layers()
    normalisations = normalisations_in(layers)

    def around(layer, call):
        def with_own_statistics(inputs, *args, **kwargs):
            if tf.executing_eagerly():
                take_statistics(layer, _as_numpy(inputs))
            return call(inputs, *args, **kwargs)

        def seen(*args, **kwargs):
            def product():
                with _kernels_alone(layer):
                    return _finite(layer, _as_numpy(call(*args, **kwargs)))

            if tf.executing_eagerly():
                see(layer, product)
            return call(*args, **kwargs)

        return seen if _is_linear(layer) else with_own_statistics

    linear = [layer for layer in layers if _is_linear(layer)]
    with (
        statistics_restored(normalisations),
        borrowed_calls([*normalisations, *linear], around),
    ):
        yield


def _is_linear(layer):
    # Cells of recurrent layers multiply twice.
    if not hasattr(layer, "activation") or hasattr(layer, "state_size"):
        return False
    kernels = kernels_of(layer)
    return bool(kernels) and all(kernel.owner is layer for kernel in kernels)


@contextlib.contextmanager
def _kernels_alone(layer):
    """Takes bias and activation from a layer for a while."""
    activation, bias = layer.activation, getattr(layer, "bias", None)
    if isinstance(bias, tf.Variable):
        raise fail(f"The bias of layer '{layer.name}' must be a Keras variable.")
    biases = [bias] if isinstance(bias, keras.Variable) else []
    layer.activation = keras.activations.linear
    try:
        with restored(biases):
            for each in biases:
                each.assign(keras.ops.zeros_like(each))
            yield
    finally:
        layer.activation = activation


def _finite(layer, output):
    """Returns a layer's output for some images, which must be finite."""
    finite = np.isfinite(output)
    if not finite.all():
        raise fail(
            f"The output of layer '{layer.name}' must be finite.",
            images=len(output),
            not_finite=sum(not each.all() for each in finite),
        )
    return output


def _as_numpy(tensor):
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


class Trace:
    """What layers receive in a forward pass, as tensors of one graph.

    `inputs` is what the model takes, `received` what each of the layers receives when
    it is called first, in the order of these calls. It lacks layers that are not
    called, or only in a graph of their own. The graph reads variables when it runs.
    """

    def __init__(
        self, model: keras.Model, layers: Iterable[keras.Layer], example: np.ndarray
    ):
        first: dict[keras.Layer, tf.Tensor] = {}

        def recorded(layer, call):
            def record(*args, **kwargs):
                first.setdefault(layer, [*args, *kwargs.values()][0])
                return call(*args, **kwargs)

            return record

        def run(inputs):
            self.inputs = inputs
            model(inputs, training=False)
            return inputs

        spec = tf.TensorSpec((None, *example.shape[1:]), example.dtype)
        with borrowed_calls(layers, recorded):
            self._function = tf.compat.v1.wrap_function(run, [spec])
        # As it was before Keras rounded it to a compute dtype.
        self.received = {
            layer: tensor.op.inputs[0] if tensor.op.type == "Cast" else tensor
            for layer, tensor in first.items()
            if tensor.graph is self._function.graph
        }

    def between(
        self, start: tf.Tensor, end: tf.Tensor
    ) -> Callable[[np.ndarray], np.ndarray] | None:
        """Returns the network from `start` to `end`; `None` if a way goes around it."""
        if _depends(end, self.inputs, start):
            return None

        @functools.cache  # many of these functions are never called
        def part():
            return self._function.prune([start], [end])

        def compute(values):
            # In one graph, TensorFlow fuses convolutions with what follows.
            (found,) = part()(tf.cast(values, start.dtype))
            return tf.cast(found, tf.float32).numpy()

        return compute


def _depends(end, inputs, start):
    """Whether `end` depends on `inputs` by a way that avoids `start`."""
    waiting, seen = [end], {start.name}
    while waiting:
        tensor = waiting.pop()
        if tensor.name not in seen:
            if tensor is inputs:
                return True
            seen.add(tensor.name)
            waiting += tensor.op.inputs
    return False
