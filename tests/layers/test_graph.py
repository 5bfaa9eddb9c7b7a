from collections import Counter
from unittest import mock

import pytest
import tensorflow as tf

from tfsupermask import models
from tfsupermask.layers import masked_weights
from tfsupermask.ops import native


def ops_of_a_step(model):
    """Counts the ops that the gradients of all scores need."""
    scores = [weight.score.value for weight in masked_weights(model)]

    @tf.function
    def gradients(images):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(images, training=True))
        return tape.gradient(loss, scores)

    gradients(tf.zeros((2, 8, 8, 3)))  # the trace of a call, not one for an export
    traced = gradients.get_concrete_function(tf.TensorSpec((2, 8, 8, 3)))
    needed = tf.compat.v1.graph_util.extract_sub_graph(
        traced.graph.as_graph_def(), [output.op.name for output in traced.outputs]
    )
    return Counter(node.op for node in needed.node)


@pytest.mark.parametrize("name", ["conv2", "conv6"])
def test_a_step_finds_every_mask_once(name):
    model = models.build(name, (8, 8, 3))
    count = len(masked_weights(model))
    ops = ops_of_a_step(model)
    assert ops["SupermaskMaskAllButTopK"] == count
    assert ops["SupermaskStraightThrough"] == count
    assert not {op for op in ops if "While" in op or "If" in op or "TopK" in op} - {
        "SupermaskMaskAllButTopK"
    }


def test_without_the_native_ops_every_mask_is_one_loop():
    model = models.build("conv2", (8, 8, 3))
    with mock.patch.object(native, "usable", return_value=False):
        ops = ops_of_a_step(model)
    loops = sum(count for op, count in ops.items() if "While" in op)
    assert loops == len(masked_weights(model))
    assert not {op for op in ops if "Supermask" in op or "TopK" in op}
