"""Where a step's ops would run on a GPU, told from TensorFlow's list of kernels.

TensorFlow places an op without a kernel for the GPU on the host without a word, and
kernels for the GPU may themselves leave their arguments and the work to the host, as
those of int32 do. Both would carry scores to the host and back in every step.
"""

import functools
from unittest import mock

import keras
import pytest
import tensorflow as tf
from keras import layers
from tensorflow.python.framework import kernels
from tensorflow.python.framework.function_def_to_graph import function_def_to_graph

from tfsupermask.layers import SupermaskConv2D, SupermaskDense
from tfsupermask.ops import native, top_k_mask
from tfsupermask.runs import Config
from tfsupermask.train import Loop, SGDWithL2
from tfsupermask.train.build import build_model

BATCH_SIZE = 32
# More numbers than a shape or a counter has, and fewer than a batch.
FEW = 24


@functools.cache
def registered(op_type, device):
    """For each kernel: the dtypes allowed by attribute, the arguments on the host."""
    return [
        (
            {c.name: set(c.allowed_values.list.type) for c in kernel.constraint},
            set(kernel.host_memory_arg),
        )
        for kernel in kernels.get_registered_kernels_for_op(op_type).kernel
        if kernel.device_type == device
    ]


def left_to_the_host(op):
    """For each kernel that a GPU has for the op: its arguments on the host."""
    attributes = op.node_def.attr

    def fits(allowed):
        return all(
            not types or set(attributes[n].list.type or [attributes[n].type]) <= types
            for n, types in allowed.items()
        )

    # Kernels "by default" are for every device that has none of its own.
    for device in ("GPU", "DEFAULT"):
        if found := [host for a, host in registered(op.type, device) if fits(a)]:
            return found
    return []


def is_small(tensor):
    size = tensor.shape.num_elements()
    return size is not None and size <= FEW


def ops_of(concrete):
    """All ops of a traced function and of the functions that it calls."""
    yield from concrete.graph.get_operations()
    library = concrete.graph.as_graph_def(add_shapes=True).library
    for function in library.function:
        yield from function_def_to_graph(function).get_operations()


def on_the_host(concrete):
    """Op types and dtypes that a GPU would leave to the host, counters excepted."""
    found = set()
    for op in ops_of(concrete):
        if op.type in ("Placeholder", "NoOp"):
            continue
        arguments = {a.name for a in (*op.op_def.input_arg, *op.op_def.output_arg)}
        hosts = left_to_the_host(op)
        small = op.outputs and all(map(is_small, (*op.inputs, *op.outputs)))
        if not hosts or (arguments and arguments <= hosts[0] and not small):
            found.add((op.type, *(tensor.dtype.name for tensor in op.inputs)))
    return found


def conv2(shape, mixed_precision=False):
    return build_model(
        Config(model="conv2", mixed_precision=mixed_precision), shape, 10
    )


def residual(shape):
    """A unit of ResNet-18, and all that is around it there."""

    def convolution(x, size):
        x = SupermaskConv2D(4, size, strides=2, padding="same")(x)
        return layers.BatchNormalization()(x)

    inputs = keras.Input(shape)
    x = layers.ReLU()(convolution(inputs, 3))
    x = layers.ReLU()(layers.Add()([convolution(x, 3), convolution(x, 1)]))
    x = layers.GlobalAveragePooling2D()(layers.MaxPooling2D()(x))
    return keras.Model(inputs, SupermaskDense(10)(x))


def make_loop(model, dataset):
    optimizer = SGDWithL2(0.1, 0.9, 1e-4)
    optimizer.build(model.trainable_variables)
    return Loop(model, optimizer, tf.distribute.get_strategy(), dataset, BATCH_SIZE)


@pytest.fixture
def as_on_a_gpu():
    with mock.patch.object(native, "usable", return_value=False):
        yield


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (
            lambda x: tf.reduce_sum(tf.cast(x > 0, tf.int32)),
            {("Sum", "int32", "int32")},
        ),
        (lambda x: tf.bitcast(x, tf.int32) > 0, {("Greater", "int32", "int32")}),
        (lambda x: tf.split(tf.cast(x, tf.int64), 2), {("Split", "int32", "int64")}),
        (lambda x: tf.reduce_sum(tf.cast(x > 0, tf.int64)), set()),
        (
            lambda x: native.straight_through(x, x, x, "score"),
            {("SupermaskStraightThrough", "float32", "float32", "float32")},
        ),
    ],
)
def test_what_a_gpu_lacks_is_noticed(function, expected):
    traced = tf.function(function).get_concrete_function(tf.TensorSpec((100,)))
    assert on_the_host(traced) == expected


@pytest.mark.parametrize("ranking", ["magnitude", "score"])
@pytest.mark.parametrize("most_in_float32", [2**24, 0])
def test_masks_are_found_on_a_gpu(as_on_a_gpu, monkeypatch, ranking, most_in_float32):
    constant = "tfsupermask.ops.masking._LARGEST_COUNT_IN_FLOAT32"
    monkeypatch.setattr(constant, most_in_float32)
    masks = tf.function(lambda score, k: top_k_mask(score, k, ranking))
    specs = tf.TensorSpec((50, 20)), tf.TensorSpec((), tf.int32)
    assert not on_the_host(masks.get_concrete_function(*specs))


@pytest.mark.parametrize(
    "build", [conv2, functools.partial(conv2, mixed_precision=True), residual]
)
def test_every_op_of_a_step_has_a_gpu_kernel(as_on_a_gpu, small, build):
    loop = make_loop(build(small.image_shape), small)
    images = (BATCH_SIZE, *small.image_shape)
    step = loop.train_steps.get_concrete_function(
        tf.TensorSpec((FEW, *images), tf.uint8),
        tf.TensorSpec((FEW, BATCH_SIZE), tf.int64),
    )
    evaluation = loop._evaluate_call.get_concrete_function(
        tf.TensorSpec(images, tf.uint8),
        tf.TensorSpec((BATCH_SIZE,), tf.int64),
        tf.TensorSpec((BATCH_SIZE,)),
    )
    assert not on_the_host(step)
    assert not on_the_host(evaluation)
